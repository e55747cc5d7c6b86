//! `publish --export DIR`: the site as plain files for an ordinary web server; Headwater then only tracks and seeds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use publish::catalogue::{Catalogue, Publication, Sent};
use publish::export::{ExportError, Report, export, server_snippets};
use publish::names::exported_seed_url;
use serde_json::json;
use storage::{Mode, TorrentFiles};

use super::addresses::{Addresses, host_of, public_url};
use super::material::{Material, prepare};
use super::{settings, theme, theme_failure, title};
use crate::args::Publish;
use crate::commands::{Context, storage_failure};
use crate::failure::{Exit, Failure};
use crate::output::BOLD;
use crate::units::plural;

/// The port that `headwater track` has unless it is told otherwise.
const TRACKER_PORT: u16 = 6969;

/// Runs the command.
pub(super) fn run(context: &Context, args: &Publish, folder: &Path) -> Result<Exit, Failure> {
    let url = args.url.as_deref().ok_or_else(|| {
        Failure::usage("--export needs to know where the site will be")
            .hint("--url https://www.example.org/downloads")
    })?;
    let base = public_url(url)?;
    let materials: Vec<Material> =
        args.source.iter().map(|path| prepare(context, path, args.format)).collect::<Result<_, _>>()?;
    let addresses = Addresses { trackers: trackers(args, &base), base: base.clone() };
    let raw = materials.iter().map(|material| publication(args, material)).collect::<Result<Vec<_>, _>>()?;
    let places: Vec<String> =
        Catalogue::new(raw.iter().cloned()).releases().iter().map(|release| release.slug.clone()).collect();
    let named = raw.into_iter().zip(places).map(|(publication, slug)| {
        let web_seed = exported_seed_url(&base, &slug);
        Ok(Publication { metainfo: addresses.name_ours(&publication.metainfo, web_seed)?, ..publication })
    });
    let catalogue = Catalogue::new(named.collect::<Result<Vec<_>, Failure>>()?);
    let report = export(&settings(args, &base)?, &theme(args)?, &catalogue, folder, args.force)
        .map_err(|error| failure(folder, &error))?;
    let folder = folder.canonicalize().map_err(|error| Failure::io("open", folder, &error))?;
    tell(
        context,
        args,
        &Told { folder: &folder, base: &base, trackers: &addresses.trackers, catalogue: &catalogue },
        &report,
    );
    Ok(Exit::Done)
}

/// The announce addresses that torrents name: `--tracker`, else that of `headwater track` on the site's host.
fn trackers(args: &Publish, base: &str) -> Vec<String> {
    match (args.no_tracker, args.tracker.is_empty()) {
        (true, _) => Vec::new(),
        (false, false) => args.tracker.clone(),
        (false, true) => {
            let host = host_of(base);
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            vec![format!("http://{host}:{TRACKER_PORT}/announce")]
        }
    }
}

fn publication(args: &Publish, material: &Material) -> Result<Publication, Failure> {
    let info = Arc::clone(&material.metainfo.info);
    let what = format!("cannot publish {}", info.name());
    let (folder, rename) = (material.place.folder.clone(), material.place.rename.clone());
    let place = TorrentFiles::open(info, folder, rename, Mode::Seed)
        .map_err(|error| storage_failure(&what, &error))?;
    Ok(Publication {
        metainfo: Arc::clone(&material.metainfo),
        place,
        sha256: material.sha256.clone(),
        published: material.published,
        title: title(args),
        notes: None,
        sent: Sent::default(),
    })
}

/// What is to be told.
struct Told<'a> {
    folder: &'a Path,
    base: &'a str,
    trackers: &'a [String],
    catalogue: &'a Catalogue,
}

fn tell(context: &Context, args: &Publish, told: &Told<'_>, report: &Report) {
    let output = &context.output;
    let Told { folder, base, trackers, catalogue } = told;
    let torrents: Vec<PathBuf> =
        catalogue.releases().iter().map(|release| folder.join(&release.torrent_name)).collect();
    let snippets = server_snippets(folder, base);
    for path in &report.private {
        output.warn(format_args!(
            "{} may be read by its owner only: no web server will give it",
            path.display()
        ));
    }
    if output.json() {
        output.document(json!({
            "folder": folder, "url": format!("{base}/"), "trackers": trackers, "torrents": torrents,
            "written": report.written, "linked": report.linked, "copied": report.copied, "removed": report.removed,
            "unchanged": report.unchanged,
            "nginx": snippets.nginx, "apache": snippets.apache, "caddy": snippets.caddy,
        }));
        return;
    }
    let files = report.written + report.linked + report.copied;
    output.result(format_args!(
        "Exported {BOLD}{}{BOLD:#}  {} written, {} unchanged, {} removed",
        folder.display(),
        plural(files as u64, "file"),
        report.unchanged,
        report.removed
    ));
    output.note(format_args!(
        "\nnginx:\n{}\nApache:\n{}\nCaddy:\n{}",
        snippets.nginx, snippets.apache, snippets.caddy
    ));
    output.note("Beside the web server run:");
    if !trackers.is_empty() {
        output.note(format_args!("  headwater track --http 0.0.0.0:{TRACKER_PORT}"));
    }
    for (torrent, source) in torrents.iter().zip(&args.source) {
        let place = source.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        output.note(format_args!("  headwater seed {} -d {} --copies 3", torrent.display(), place.display()));
    }
}

fn failure(folder: &Path, error: &ExportError) -> Failure {
    let what = format!("cannot export to {}", folder.display());
    match error {
        ExportError::Theme(error) => theme_failure(error),
        ExportError::Occupied(_) => Failure::new(Exit::Exists, what)
            .because(error)
            .hint("use --force to replace it, or another folder"),
        ExportError::Missing(_) => Failure::new(Exit::NotFound, what).because(error),
        ExportError::Manifest(_) => Failure::new(Exit::Invalid, what)
            .because(error)
            .hint("remove it and use --force to export over what is there"),
        ExportError::Io { source, .. } => Failure::new(Exit::of_io(source), what).because(error),
        _ => Failure::new(Exit::Other, what).because(error),
    }
}
