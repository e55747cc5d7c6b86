//! Stories of `headwater handler` and the configuration file, in a home folder of their own and without any desktop.

mod world;

use world::{World, stderr, stdout};

const LIST: &str = "home/.config/mimeapps.list";
const ENTRY: &str = "home/.local/share/applications/headwater.desktop";

/// What the user had before, in a file that other programs wrote too.
const BEFORE: &str = "\
# chosen by hand
[Added Associations]
application/x-bittorrent=old.desktop;

[Default Applications]
text/html=browser.desktop
x-scheme-handler/magnet=old.desktop;other.desktop;
";

fn text(world: &World, name: &str) -> String {
    String::from_utf8(world.read(name)).unwrap()
}

#[test]
fn installing_takes_both_types_and_removing_gives_them_back() {
    let world = World::new();
    world.write(LIST, BEFORE);
    // The second time must not take ourselves for the program before us.
    for _ in 0..2 {
        world.run("handler install").success();
        let list = text(&world, LIST);
        assert!(list.contains("\nx-scheme-handler/magnet=headwater.desktop\n"), "{list}");
        assert!(list.contains("\napplication/x-bittorrent=headwater.desktop\n"), "{list}");
    }
    let entry = text(&world, ENTRY);
    assert!(entry.contains("MimeType=application/x-bittorrent;x-scheme-handler/magnet;\n"), "{entry}");
    let program = env!("CARGO_BIN_EXE_headwater");
    assert!(entry.contains(&format!("Exec={program} open %U\n")), "{entry}");
    assert!(world.path("home/.local/share/icons/hicolor/scalable/apps/headwater.svg").exists());

    let status = world.json("handler status");
    assert_eq!(status["types"][0]["default"], "headwater.desktop");
    assert_eq!(status["types"][0]["before"], "old.desktop;other.desktop;");
    assert_eq!(status["types"][1]["ours"], true);
    assert_eq!(status["types"][1]["before"], serde_json::Value::Null);

    world.run("handler remove").success();
    assert_eq!(text(&world, LIST), BEFORE);
    assert!(!world.path(ENTRY).exists());
    assert_eq!(world.json("handler status")["types"][0]["ours"], false);
}

#[test]
fn one_type_can_be_taken_alone() {
    let world = World::new();
    world.run("handler install --magnet").success();
    assert_eq!(text(&world, LIST), "[Default Applications]\nx-scheme-handler/magnet=headwater.desktop\n");
    assert!(text(&world, ENTRY).contains("MimeType=x-scheme-handler/magnet;\n"));
    world.run("handler install --torrent").success();
    world.run("handler remove --magnet").success();
    assert!(!text(&world, LIST).contains("magnet"));
    assert!(text(&world, ENTRY).contains("MimeType=application/x-bittorrent;\n"));
}

#[test]
fn whom_the_user_chose_later_stays() {
    let world = World::new();
    world.run("handler install").success();
    let chosen = "[Default Applications]\nx-scheme-handler/magnet=later.desktop\n";
    world.write(LIST, chosen);
    world.run("handler remove").success();
    assert_eq!(text(&world, LIST), chosen);
}

#[test]
fn a_dry_run_tells_and_does_nothing() {
    let world = World::new();
    for line in
        ["handler install --dry-run", "handler remove --dry-run", "handler install --system --dry-run"]
    {
        let said = stdout(&world.run(line).success());
        assert!(said.contains("would "), "{line}: {said}");
    }
    assert!(!world.path("home").exists());
}

#[test]
fn the_configuration_file_stands_behind_environment_and_flags() {
    let world = World::new();
    world.write("home/.config/headwater/config.toml", "[limits]\ndown = \"2MiB\"\n");
    world.write("other.toml", "[limits]\ndwn = \"2MiB\"\n");
    assert_eq!(stdout(&world.run("config show").success()), "limits.down = 2MiB\n");
    let refused = world.run("show x.torrent --config other.toml").code(4);
    assert!(
        stderr(&refused).contains("unknown key `limits.dwn` in other.toml line 2"),
        "{}",
        stderr(&refused)
    );
    assert!(stderr(&refused).contains("did you mean `limits.down`?"), "{}", stderr(&refused));
    world.run("config check other.toml").code(4);
    world.run("config check missing.toml").code(3);
    world.run("config check").success();
    // The flag's own default gives way to the file's, and that to the command line's.
    let help = |line: &str| stdout(&world.run(line).success());
    assert!(help("help get").contains("--limit-rate"));
}
