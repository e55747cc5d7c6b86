//! The info hashes that other creators give the same data, and other people's torrents.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::matrix::say;
use crate::world::{World, output};
use crate::{Outcome, Setup};

/// The torrents of `webtorrent-fixtures` whose payload lies beside them: file, payload's folder below `fixtures`.
const WITH_PAYLOAD: [(&str, &str); 4] =
    [("alice.torrent", "."), ("folder.torrent", "."), ("leaves.torrent", "."), ("numbers.torrent", ".")];

pub(crate) fn run(setup: &Setup) -> Outcome {
    let world = World::new()?;
    single_file(setup, &world)?;
    tree(setup, &world)?;
    fixtures(setup)
}

/// A file has one v1 hash, whoever makes the torrent.
fn single_file(setup: &Setup, world: &World) -> Outcome {
    let file = world.path("one.bin");
    let mut bytes = vec![0; 10_000_001];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    fs::write(&file, bytes)?;
    let ours = ours(setup, world, &file, "v1", "v1")?;
    let theirs = world.path("mktorrent.torrent");
    output(
        Command::new("mktorrent")
            .args(["-l", "18", "-a", "http://127.0.0.1/announce", "-o"])
            .arg(&theirs)
            .arg(&file),
    )?;
    let mktorrent = field(setup, &theirs, "v1")?;
    equal("v1 hash of a file", "mktorrent", &ours, &mktorrent)?;
    equal("v1 hash of a file", "libtorrent", &ours, &libtorrent(setup, &file, "v1", "v1")?)
}

/// A tree of many small files has one v2 hash, and as a hybrid one v1 hash too.
fn tree(setup: &Setup, world: &World) -> Outcome {
    let root = world.folder("tree")?;
    let mut random = fastrand::Rng::with_seed(2);
    for index in 0..300 {
        let folder = world.folder(&format!("tree/d{}/e{}", index % 7, index % 3))?;
        let mut bytes = vec![0; random.usize(0..900_000) * usize::from(index % 10 != 0)];
        random.fill(&mut bytes);
        fs::write(folder.join(format!("f-{index}.dat")), bytes)?;
    }
    for (form, kind) in [("hybrid", "v1"), ("hybrid", "v2"), ("v2", "v2")] {
        let title = format!("{kind} hash of a {form} tree");
        equal(
            &title,
            "libtorrent",
            &ours(setup, world, &root, form, kind)?,
            &libtorrent(setup, &root, form, kind)?,
        )?;
    }
    Ok(())
}

fn fixtures(setup: &Setup) -> Outcome {
    let mut parsed = 0;
    for entry in fs::read_dir(&setup.fixtures)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".torrent") {
            continue;
        }
        let code = Command::new(&setup.headwater).arg("show").arg(&path).output()?.status.code();
        let want = if name == "corrupt.torrent" { Some(4) } else { Some(0) };
        if code != want {
            return Err(format!("`show {name}` ended with {code:?} instead of {want:?}").into());
        }
        parsed += 1;
    }
    for (torrent, folder) in WITH_PAYLOAD {
        output(
            Command::new(&setup.headwater)
                .arg("verify")
                .arg(setup.fixtures.join(torrent))
                .arg(setup.fixtures.join(folder)),
        )?;
    }
    say(&format!(
        "ok    webtorrent-fixtures: {parsed} torrents read as expected, {} payloads verified",
        WITH_PAYLOAD.len()
    ));
    Ok(())
}

fn ours(
    setup: &Setup,
    world: &World,
    payload: &Path,
    form: &str,
    kind: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let torrent = world.path(&format!("ours-{form}.torrent"));
    output(
        Command::new(&setup.headwater)
            .args(["create", "--force", "--hidden", "-l", "256KiB", "--format", form, "-o"])
            .arg(&torrent)
            .arg(payload),
    )?;
    field(setup, &torrent, kind)
}

/// What `show --json` says of a torrent under this key.
pub(crate) fn field(setup: &Setup, torrent: &Path, key: &str) -> Result<String, Box<dyn std::error::Error>> {
    let text = output(Command::new(&setup.headwater).args(["--json", "show"]).arg(torrent))?;
    let shown: serde_json::Value = serde_json::from_str(&text)?;
    let value = shown.get(key).and_then(|value| value.as_str());
    value.map(str::to_owned).ok_or_else(|| format!("`show` says nothing of {key}").into())
}

fn libtorrent(
    setup: &Setup,
    payload: &Path,
    form: &str,
    kind: &str,
) -> Result<String, Box<dyn std::error::Error>> {
    let script = setup.scripts.join("libtorrent_hashes.py");
    let text = output(Command::new(&setup.python).arg(script).arg(payload).args(["262144", form]))?;
    let hash = text.lines().find_map(|line| line.strip_prefix(kind)).map(|hash| hash.trim().to_owned());
    hash.ok_or_else(|| format!("libtorrent printed no {kind} hash").into())
}

fn equal(what: &str, whose: &str, ours: &str, theirs: &str) -> Outcome {
    if ours == theirs {
        say(&format!("ok    {what} equals {whose}'s: {ours}"));
        Ok(())
    } else {
        Err(format!("{what}: ours {ours}, {whose}'s {theirs}").into())
    }
}
