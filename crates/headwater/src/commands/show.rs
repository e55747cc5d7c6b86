//! `headwater show`: what is in a torrent or magnet link.

use std::fmt::Write as _;

use metainfo::{Format, Info, Magnet, Metainfo};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::Context;
use crate::args::{Show, ShowWhat};
use crate::failure::{Exit, Failure};
use crate::output::{BOLD, DIM, Output, clean};
use crate::select::{Listed, listed};
use crate::source::{self, Source};
use crate::units::{count, plural, size};

mod structure;

/// Runs the command.
pub(crate) fn run(context: &Context, args: &Show) -> Result<Exit, Failure> {
    let source = match source::kind(&args.source) {
        source::Kind::Url => context.fetch_one(&args.source)?,
        _ => source::load_local(&args.source)?,
    };
    match source {
        Source::Torrent(metainfo, _) => show_torrent(&context.output, &args.source, &args.what, &metainfo),
        Source::Magnet(magnet) => show_magnet(&context.output, &args.what, &magnet),
    }
}

fn show_torrent(
    output: &Output,
    source: &str,
    what: &ShowWhat,
    metainfo: &Metainfo,
) -> Result<Exit, Failure> {
    if let Some(key) = &what.field {
        let value = structure::field(metainfo.raw(), key)?;
        if output.json() {
            output.document(json!({ "field": key, "value": value }));
        } else {
            output.result(value);
        }
        return Ok(Exit::Done);
    }
    if output.json() {
        output.document(describe(source, metainfo));
    } else if what.raw {
        output.result(structure::draw(metainfo.raw())?);
    } else if what.files {
        output.result(draw_list(&metainfo.info));
    } else if what.tree {
        output.result(draw_tree(&metainfo.info));
    } else if what.trackers {
        print_list(output, draw_trackers(&metainfo.announce), "no trackers");
    } else if what.lints {
        let lints = lines(lints(metainfo).map(|lint| format!("{:<24}{lint}", lint.kind.name())));
        print_list(output, lints, "nothing unusual");
    } else {
        output.result(summary(metainfo));
    }
    Ok(Exit::Done)
}

fn show_magnet(output: &Output, what: &ShowWhat, magnet: &Magnet) -> Result<Exit, Failure> {
    let impossible = what.files || what.tree || what.lints || what.raw || what.field.is_some();
    if impossible {
        return Err(Failure::usage("a magnet link has no more than hashes, a name and addresses")
            .hint("fetch the torrent first: headwater get --torrent-only 'magnet:…'"));
    }
    let tiers: Vec<Vec<String>> = magnet.trackers.iter().map(|url| vec![url.clone()]).collect();
    if output.json() {
        output.document(json!({
            "magnet": magnet.to_string(), "name": magnet.name, "size": magnet.length,
            "v1": magnet.hashes.v1.map(|hash| hash.to_string()), "v2": magnet.hashes.v2.map(|hash| hash.to_string()),
            "trackers": tiers, "web_seeds": magnet.web_seeds, "peers": magnet.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
    } else if what.trackers {
        print_list(output, draw_trackers(&tiers), "no trackers");
    } else {
        let mut table = Table::new(magnet.name.as_deref().unwrap_or("(no name)"), "magnet link");
        if let Some(length) = magnet.length {
            table.row("size", &size(length));
        }
        table.hashes(magnet.hashes);
        table.list("tracker", &magnet.trackers);
        table.list("web seed", &magnet.web_seeds);
        table.list("peer", &magnet.peers.iter().map(ToString::to_string).collect::<Vec<_>>());
        output.result(table.finish());
    }
    Ok(Exit::Done)
}

/// Prints a list; of an empty one stdout gets nothing, and the user a word.
fn print_list(output: &Output, list: String, empty: &str) {
    if list.is_empty() { output.note(empty) } else { output.result(list) }
}

/// A torrent's name for its kind.
pub(crate) fn format_name(format: Format) -> &'static str {
    match format {
        Format::V1 => "v1",
        Format::V2 => "v2",
        Format::Hybrid => "hybrid",
    }
}

fn summary(metainfo: &Metainfo) -> String {
    let info = &metainfo.info;
    let layout = info.layout();
    let mut table = Table::new(info.name(), format_name(info.format()));
    table.row(
        "size",
        &format!("{} in {}", size(layout.content_length()), plural(listed(info).count() as u64, "file")),
    );
    let piece_length = size(layout.piece_length().into());
    table.row("pieces", &format!("{} of {piece_length}", count(layout.piece_count().into())));
    table.hashes(info.hashes());
    if info.private() {
        table.row("private", "yes: only its trackers may introduce peers");
    }
    table.maybe("source", info.source());
    let urls: Vec<String> = metainfo.announce.iter().map(|tier| tier.join("  ")).collect();
    table.list("tracker", &urls);
    table.list("web seed", &metainfo.web_seeds);
    table.list(
        "DHT node",
        &metainfo.nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>(),
    );
    table.maybe("comment", metainfo.comment.as_deref());
    table.maybe("update url", metainfo.update_url.as_deref());
    table.maybe("made by", metainfo.created_by.as_deref());
    table.maybe("made at", metainfo.creation_date.and_then(date).as_deref());
    table.list("lint", &lints(metainfo).map(ToString::to_string).collect::<Vec<_>>());
    table.row("magnet", &Magnet::of(metainfo).to_string());
    table.finish()
}

/// A torrent as JSON.
#[derive(Serialize)]
struct Description<'a> {
    torrent: &'a str,
    name: &'a str,
    format: &'static str,
    v1: Option<String>,
    v2: Option<String>,
    size: u64,
    piece_length: u32,
    pieces: u32,
    private: bool,
    source: Option<&'a str>,
    trackers: &'a [Vec<String>],
    web_seeds: &'a [String],
    nodes: Vec<String>,
    comment: Option<&'a str>,
    created_by: Option<&'a str>,
    created: Option<i64>,
    update_url: Option<&'a str>,
    files: Files<'a>,
    lints: Vec<Value>,
    magnet: String,
}

/// The files of a torrent as JSON, one after the other.
struct Files<'a>(&'a Info);

#[derive(Serialize)]
struct FileEntry<'a> {
    path: &'a str,
    size: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    symlink: Option<&'a str>,
}

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(listed(self.0).map(|Listed { path, file, .. }| FileEntry {
            path,
            size: file.length,
            executable: file.executable,
            symlink: file.symlink.as_deref(),
        }))
    }
}

fn describe<'a>(source: &'a str, metainfo: &'a Metainfo) -> Description<'a> {
    let info = &metainfo.info;
    let hashes = info.hashes();
    Description {
        torrent: source,
        name: info.name(),
        format: format_name(info.format()),
        v1: hashes.v1.map(|hash| hash.to_string()),
        v2: hashes.v2.map(|hash| hash.to_string()),
        size: info.layout().content_length(),
        piece_length: info.layout().piece_length(),
        pieces: info.layout().piece_count(),
        private: info.private(),
        source: info.source(),
        trackers: &metainfo.announce,
        web_seeds: &metainfo.web_seeds,
        nodes: metainfo.nodes.iter().map(|(host, port)| format!("{host}:{port}")).collect(),
        comment: metainfo.comment.as_deref(),
        created_by: metainfo.created_by.as_deref(),
        created: metainfo.creation_date,
        update_url: metainfo.update_url.as_deref(),
        files: Files(info),
        lints: lints(metainfo)
            .map(|lint| json!({ "lint": lint.kind.name(), "text": lint.to_string() }))
            .collect(),
        magnet: Magnet::of(metainfo).to_string(),
    }
}

fn lints(metainfo: &Metainfo) -> impl Iterator<Item = &metainfo::Lint> {
    metainfo.lints.iter()
}

fn date(seconds: i64) -> Option<String> {
    jiff::Timestamp::from_second(seconds).ok().map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn lines(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join("\n")
}

/// The files with their numbers and sizes; what `get --list` prints too.
pub(crate) fn draw_list(info: &Info) -> String {
    let widest = listed(info).last().map_or(1, |last| last.number.to_string().len());
    lines(listed(info).map(|listed| {
        let link =
            listed.file.symlink.as_deref().map(|target| format!(" -> {}", clean(target))).unwrap_or_default();
        let bytes = size(listed.file.length);
        format!("{:>widest$}  {bytes:>11}  {}{link}", listed.number, clean(listed.path))
    }))
}

/// The files as a tree: a folder is drawn where its first file stands.
fn draw_tree(info: &Info) -> String {
    let mut out = format!("{BOLD}{}{BOLD:#}", clean(info.name()));
    if info.single_file() {
        let _ = write!(out, "  {DIM}{}{DIM:#}", size(info.layout().content_length()));
        return out;
    }
    let mut above: Vec<&str> = Vec::new();
    for listed in listed(info) {
        let mut folders: Vec<&str> = listed.path.split('/').collect();
        let name = folders.pop().unwrap_or_default();
        let same = above.iter().zip(&folders).take_while(|(a, b)| a == b).count();
        for (depth, folder) in folders.iter().enumerate().skip(same) {
            let _ = write!(out, "\n{}{BOLD}{}/{BOLD:#}", "  ".repeat(depth + 1), clean(folder));
        }
        let indent = "  ".repeat(folders.len() + 1);
        let _ = write!(out, "\n{indent}{}  {DIM}{}{DIM:#}", clean(name), size(listed.file.length));
        above = folders;
    }
    out
}

fn draw_trackers(tiers: &[Vec<String>]) -> String {
    lines(
        tiers
            .iter()
            .zip(1..)
            .flat_map(|(tier, number)| tier.iter().map(move |url| format!("tier {number}  {}", clean(url)))),
    )
}

/// Names on the left, values on the right.
struct Table {
    out: String,
}

impl Table {
    fn new(name: &str, kind: &str) -> Self {
        Self { out: format!("{BOLD}{}{BOLD:#}  {kind}", clean(name)) }
    }

    fn row(&mut self, name: &str, value: &str) {
        let _ = write!(self.out, "\n  {DIM}{name:<11}{DIM:#}{}", clean(value));
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.row(name, value);
        }
    }

    fn list(&mut self, name: &str, values: &[String]) {
        for (number, value) in values.iter().enumerate() {
            self.row(if number == 0 { name } else { "" }, value);
        }
    }

    fn hashes(&mut self, hashes: metainfo::InfoHashes) {
        self.maybe("v1 hash", hashes.v1.map(|hash| hash.to_string()).as_deref());
        self.maybe("v2 hash", hashes.v2.map(|hash| hash.to_string()).as_deref());
    }

    fn finish(self) -> String {
        self.out
    }
}
