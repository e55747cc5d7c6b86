//! `headwater create`: a torrent from files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{SystemTime, UNIX_EPOCH};

use metainfo::{BuildError, Builder, Format, LintKind, Magnet, Metainfo};
use serde_json::{Value, json};
use storage::create::{CreateError, Options, Plan, plan};

use super::show::format_name;
use super::{Context, keys, seed, threads, with_meter};
use crate::args::{Create, FormatArg, Symlinks};
use crate::failure::{Exit, Failure};
use crate::output::BOLD;
use crate::select::listed;
use crate::source;
use crate::units::{parse_size, plural, size};

/// The largest exponent that a piece length can be mistaken for: mktorrent's `-l 18` means 2 to the 18th.
const MAX_EXPONENT: u64 = 30;

/// How many left-out files are named before the rest is counted.
const NAMED_SKIPPED: usize = 5;

/// What a torrent should not have unless its maker insists: peers or clients would refuse it or find nobody.
const REFUSED: [LintKind; 4] = [
    LintKind::PrivateWithoutTracker,
    LintKind::PrivateWithNodes,
    LintKind::SmallPieces,
    LintKind::UnevenPieces,
];

/// Runs the command.
pub(crate) fn run(context: &Context, args: &Create) -> Result<Exit, Failure> {
    let allowed = allowed(&args.allow)?;
    let plan = plan_for(&options(args)?)?;
    let path =
        args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.torrent", plan.builder().name)));
    if !args.dry_run {
        keys::check_free(&path, args.force)?;
    }
    let mut builder = hash(context, plan, args.threads)?;
    fill_keys(&mut builder, args)?;
    let bytes = encode(&builder, &args.path)?;
    let metainfo = source::parse(bytes.clone().into(), "the new torrent")?;
    complain(context, &metainfo, &allowed)?;
    if !args.dry_run {
        keys::write(context, &path, &bytes)?;
    }
    report(context, args, &path, &metainfo);
    if args.seed {
        let folder = args.path.canonicalize().map_err(|error| Failure::io("open", &args.path, &error))?;
        return super::block_on(seed::run_one(context, metainfo, &folder));
    }
    Ok(Exit::Done)
}

/// A torrent from files with the usual choices, for commands that need one by the way.
pub(super) fn make(context: &Context, path: &Path, format: FormatArg) -> Result<Builder, Failure> {
    make_of(context, plan_for(&usual(path, format))?)
}

/// The usual choices.
pub(super) fn usual(path: &Path, format: FormatArg) -> Options {
    Options {
        path: path.to_owned(),
        name: None,
        piece_length: None,
        format: format.into(),
        include: Vec::new(),
        exclude: Vec::new(),
        hidden: false,
        symlinks: storage::create::Symlinks::Follow,
    }
}

/// A torrent of what was planned, with the usual keys around it.
pub(super) fn make_of(context: &Context, plan: Plan) -> Result<Builder, Failure> {
    let mut builder = hash(context, plan, None)?;
    builder.outer.created_by = keys::creator(None);
    Ok(builder)
}

/// The bytes of a torrent made from `path`.
pub(super) fn encode(builder: &Builder, path: &Path) -> Result<Vec<u8>, Failure> {
    builder.encode().map_err(|error| failure(path, &CreateError::Build(error)))
}

fn options(args: &Create) -> Result<Options, Failure> {
    Ok(Options {
        path: args.path.clone(),
        name: args.name.clone(),
        piece_length: piece_length(&args.piece_length)?,
        format: args.format.into(),
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        hidden: args.hidden,
        symlinks: match args.symlinks {
            Symlinks::Follow => storage::create::Symlinks::Follow,
            Symlinks::Keep => storage::create::Symlinks::Keep,
            Symlinks::Skip => storage::create::Symlinks::Skip,
        },
    })
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Hybrid => Self::Hybrid,
            FormatArg::V1 => Self::V1,
            FormatArg::V2 => Self::V2,
        }
    }
}

fn piece_length(text: &str) -> Result<Option<u32>, Failure> {
    if text.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    let bytes = parse_size(text).map_err(Failure::usage)?;
    if (1..=MAX_EXPONENT).contains(&bytes) {
        return Err(Failure::usage(format!("a piece of {} is too short", plural(bytes, "byte")))
            .hint(format!("-l {} is 2 to the power of {bytes}", size(1 << bytes).replace(' ', ""))));
    }
    u32::try_from(bytes)
        .map(Some)
        .map_err(|_| Failure::usage(format!("a piece of {text} is too long")).hint("-l 16MiB"))
}

fn allowed(names: &[String]) -> Result<Vec<LintKind>, Failure> {
    let known = || LintKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    let parse = |name: &String| {
        name.parse().map_err(|_| Failure::usage(format!("no lint is named `{name}`")).hint(known()))
    };
    names.iter().map(parse).collect()
}

pub(super) fn plan_for(options: &Options) -> Result<Plan, Failure> {
    plan(options).map_err(|error| failure(&options.path, &error))
}

fn hash(context: &Context, plan: Plan, asked: Option<usize>) -> Result<Builder, Failure> {
    let skipped = plan.skipped();
    for skipped in skipped.iter().take(NAMED_SKIPPED) {
        context.output.warn(format_args!("left out {}: {}", skipped.path.display(), skipped.why));
    }
    if skipped.len() > NAMED_SKIPPED {
        context.output.warn(format_args!("left out {} more", skipped.len() - NAMED_SKIPPED));
    }
    let (total, name) = (plan.total(), plan.builder().name.clone());
    let (progress, cancel) = (AtomicU64::new(0), AtomicBool::new(false));
    let hash = || plan.hash(threads(asked), &progress, &cancel);
    let builder = with_meter(&context.output, &format!("Hashing {name}"), total, &progress, hash);
    builder.map_err(|error| failure(Path::new(&name), &error))
}

fn fill_keys(builder: &mut Builder, args: &Create) -> Result<(), Failure> {
    builder.private = args.private;
    builder.source.clone_from(&args.source);
    builder.update_url.clone_from(&args.update_url);
    builder.similar = args.similar.iter().map(|text| similar(text)).collect::<Result<_, _>>()?;
    builder.outer.tiers = keys::tiers(&args.outer.tracker)?;
    builder.outer.web_seeds = keys::web_seeds(&args.outer.web_seed)?;
    builder.outer.nodes = keys::nodes(&args.dht_node)?;
    builder.outer.comment.clone_from(&args.outer.comment);
    builder.outer.created_by = keys::creator(args.created_by.as_deref());
    builder.outer.creation_date = match &args.date {
        Some(text) => keys::date(text)?,
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| since.as_secs().try_into().ok()),
    };
    Ok(())
}

fn similar(text: &str) -> Result<Vec<u8>, Failure> {
    let v1 = metainfo::InfoHash::from_hex(text).map(|hash| hash.as_bytes().to_vec());
    let either = v1.or_else(|| metainfo::InfoHashV2::from_hex(text).map(|hash| hash.as_bytes().to_vec()));
    either.ok_or_else(|| {
        Failure::usage(format!("`{text}` is no info hash"))
            .hint("40 or 64 hexadecimal digits, as `headwater show` prints")
    })
}

/// Refuses what would not work, and says what is merely odd.
fn complain(context: &Context, metainfo: &Metainfo, allowed: &[LintKind]) -> Result<(), Failure> {
    for lint in metainfo.lints.iter().filter(|lint| !allowed.contains(&lint.kind)) {
        if REFUSED.contains(&lint.kind) {
            return Err(
                Failure::usage(lint.to_string()).hint(format!("--allow {} makes it all the same", lint.kind))
            );
        }
        context.output.warn(lint);
    }
    Ok(())
}

fn report(context: &Context, args: &Create, path: &Path, metainfo: &Metainfo) {
    let output = &context.output;
    let to_stdout = path.as_os_str() == "-" && !args.dry_run;
    if to_stdout {
        output.note(summary(args, path, metainfo));
    } else if output.json() {
        output.document(describe(args, path, metainfo));
    } else if args.magnet {
        output.note(summary(args, path, metainfo));
        output.result(Magnet::of(metainfo));
    } else {
        output.result(format_args!("{}\n  {}", summary(args, path, metainfo), Magnet::of(metainfo)));
    }
}

fn summary(args: &Create, path: &Path, metainfo: &Metainfo) -> String {
    let (info, layout) = (&metainfo.info, metainfo.info.layout());
    let verb = if args.dry_run { "Would write" } else { "Wrote" };
    let mut out = format!(
        "{verb} {BOLD}{}{BOLD:#}  {}, {}, {} in {} of {}",
        if path.as_os_str() == "-" { "to stdout".into() } else { path.display().to_string() },
        format_name(info.format()),
        plural(listed(info).count() as u64, "file"),
        size(layout.content_length()),
        plural(layout.piece_count().into(), "piece"),
        size(layout.piece_length().into()),
    );
    let hashes = info.hashes();
    // Writing to a string cannot fail.
    if let Some(v1) = hashes.v1 {
        _ = write!(out, "\n  v1 {v1}");
    }
    if let Some(v2) = hashes.v2 {
        _ = write!(out, "\n  v2 {v2}");
    }
    out
}

fn describe(args: &Create, path: &Path, metainfo: &Metainfo) -> Value {
    let (info, layout, hashes) = (&metainfo.info, metainfo.info.layout(), metainfo.info.hashes());
    json!({
        "torrent": path.display().to_string(),
        "written": !args.dry_run,
        "name": info.name(),
        "format": format_name(info.format()),
        "v1": hashes.v1.map(|hash| hash.to_string()),
        "v2": hashes.v2.map(|hash| hash.to_string()),
        "files": listed(info).count(),
        "size": layout.content_length(),
        "piece_length": layout.piece_length(),
        "pieces": layout.piece_count(),
        "lints": metainfo.lints.iter().map(|lint| lint.kind.name()).collect::<Vec<_>>(),
        "magnet": Magnet::of(metainfo).to_string(),
    })
}

/// What keeps files from becoming a torrent, in the user's terms.
fn failure(path: &Path, error: &CreateError) -> Failure {
    let what = format!("cannot make a torrent of {}", path.display());
    match error {
        CreateError::Read { path: read, source } if read == path => Failure::io("read", path, source),
        CreateError::Read { source, .. } => Failure::new(Exit::of_io(source), what).because(error),
        CreateError::Glob(_) => Failure::usage("a pattern is no glob").because(error),
        CreateError::Nothing(_) => Failure::new(Exit::NotFound, what)
            .because(error)
            .hint("hidden files are taken with --hidden only; see also --include and --exclude"),
        CreateError::Build(BuildError::PieceLength(_)) => {
            Failure::usage(what).because(error).hint("-l 1MiB, or --format v1")
        }
        CreateError::Changed(_) => {
            Failure::new(Exit::Other, what).because(error).hint("run it again when nothing writes there")
        }
        _ => Failure::new(Exit::Other, what).because(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponent_is_answered_with_the_size_it_means() {
        let failure = piece_length("18").unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().contains("-l 256KiB"));
        assert_eq!(piece_length("auto").unwrap(), None);
        assert_eq!(piece_length("4MiB").unwrap(), Some(4 << 20));
    }
}
