//! `headwater verify`: do the files on disk match a torrent?

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use metainfo::{FileIndex, Info};
use serde_json::{Value, json};
use storage::check::{FileVerdict, Report, Thoroughness};

use super::{Context, locate, threads, with_meter};
use crate::args::Verify;
use crate::failure::{Exit, Failure};
use crate::output::{BAD, GOOD, clean, quote};
use crate::select::path_below;
use crate::source;
use crate::units::{count, plural, size};

/// Runs the command.
pub(crate) fn run(context: &Context, args: &Verify) -> Result<Exit, Failure> {
    let output = &context.output;
    let metainfo = source::read(&args.torrent)?;
    let info = &metainfo.info;
    if !info.has_all_hashes() {
        return Err(Failure::new(Exit::Invalid, format!("{} lacks piece hashes", args.torrent.display()))
            .cause("its piece layers are missing")
            .hint("make the torrent again from the files: headwater create"));
    }
    let place = locate(info, args.path.as_deref(), Some(&args.torrent))?;
    let thoroughness = Thoroughness { threads: threads(args.threads), quick: args.quick };
    let (progress, cancel) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let total = info.layout().content_length();
    let report = with_meter(output, info.name(), total, &progress, || {
        storage::check::verify(info, &place.folder, place.rename.clone(), thoroughness, &progress, &cancel)
    });
    let report = report.map_err(|error| super::storage_failure("cannot verify", &error))?;
    let torrent = args.torrent.display().to_string();
    if output.json() {
        output.document(describe(&torrent, info, &report));
    } else if args.list_bad {
        bad_files(&report).for_each(|(file, _)| output.result(clean(name(info, file))));
    } else {
        output.result(draw(info, &report, args.quick));
    }
    if report.is_ok() {
        return Ok(Exit::Done);
    }
    let name =
        place.rename.as_deref().map(|name| format!(" -o {}", quote(Path::new(name)))).unwrap_or_default();
    let (torrent, folder) = (quote(&args.torrent), quote(&place.folder));
    output.hint(format_args!("headwater get {torrent} -d {folder}{name} --check fetches what differs"));
    Ok(Exit::Differs)
}

fn describe(torrent: &str, info: &Info, report: &Report) -> Value {
    let pieces = info.layout().piece_count();
    let bad: Vec<u32> = (0..pieces).filter(|&piece| !report.good.get(piece)).collect();
    let files = bad_files(report).map(|(file, verdict)| {
        let mut entry = json!({ "path": name(info, file), "ok": false });
        match verdict {
            FileVerdict::Ok => {}
            FileVerdict::Missing => entry["missing"] = true.into(),
            FileVerdict::WrongSize { found } => {
                entry["size"] = info.files()[file.0 as usize].length.into();
                entry["found_size"] = (*found).into();
            }
            FileVerdict::Bad { pieces } => {
                entry["bad_pieces"] = pieces.clone().into();
                entry["size"] = info.files()[file.0 as usize].length.into();
            }
        }
        entry
    });
    json!({
        "torrent": torrent,
        "ok": report.is_ok(),
        "pieces": { "total": pieces, "good": report.good.count(), "bad": bad },
        "files": files.collect::<Vec<_>>(),
    })
}

fn draw(info: &Info, report: &Report, quick: bool) -> String {
    let layout = info.layout();
    let files = plural(report.files.len() as u64, "file");
    let name = clean(info.name());
    if report.is_ok() {
        let seen = if quick { "sizes only".to_owned() } else { plural(layout.piece_count().into(), "piece") };
        return format!("{name}: {GOOD}ok{GOOD:#}  {files}, {}, {seen}", size(layout.content_length()));
    }
    let bad = bad_files(report).count() as u64;
    let bad_pieces = layout.piece_count() - report.good.count();
    let mut out = format!(
        "{name}: {BAD}differs{BAD:#}  {} of {files}, {} of {}",
        count(bad),
        count(bad_pieces.into()),
        plural(layout.piece_count().into(), "piece")
    );
    for (file, verdict) in bad_files(report) {
        let path = clean(self::name(info, file)).into_owned();
        let why = match verdict {
            FileVerdict::Ok => continue,
            FileVerdict::Missing => "missing".to_owned(),
            FileVerdict::WrongSize { found } => {
                format!(
                    "{} where the torrent has {}",
                    size(*found),
                    size(info.files()[file.0 as usize].length)
                )
            }
            FileVerdict::Bad { pieces } if pieces.len() == 1 => format!("bad piece {}", pieces[0]),
            FileVerdict::Bad { pieces } => format!("bad pieces {}", ranges(pieces)),
        };
        // Writing to a string cannot fail.
        _ = write!(out, "\n  {path}: {why}");
    }
    out
}

fn bad_files(report: &Report) -> impl Iterator<Item = (FileIndex, &FileVerdict)> {
    report
        .files
        .iter()
        .filter(|(_, verdict)| *verdict != FileVerdict::Ok)
        .map(|(file, verdict)| (*file, verdict))
}

fn name(info: &Info, file: FileIndex) -> &str {
    info.files().get(file.0 as usize).map_or("", |file| path_below(info, file))
}

/// Sorted numbers with neighbours joined: `3-5, 9`.
fn ranges(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.iter().map(ToString::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_pieces_are_joined() {
        assert_eq!(ranges(&[3, 4, 5, 9, 11, 12]), "3-5, 9, 11-12");
        assert_eq!(ranges(&[7]), "7");
    }
}
