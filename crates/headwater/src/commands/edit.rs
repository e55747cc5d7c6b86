//! `headwater edit`: changes a torrent outside `info`, so that its hash stays.

use metainfo::edit::{Change, Edit};
use serde_json::json;

use super::{Context, keys};
use crate::args;
use crate::failure::{Exit, Failure};
use crate::source;

/// Runs the command.
pub(crate) fn run(context: &Context, args: &args::Edit) -> Result<Exit, Failure> {
    let metainfo = source::read(&args.torrent)?;
    let edit = changes(args)?;
    if edit == Edit::default() {
        return Err(Failure::usage("nothing to change")
            .hint("name what shall change: -t, -w, -c, --date or --created-by"));
    }
    keys::check_free(&args.output, args.force)?;
    let bytes = edit.apply(metainfo.raw()).map_err(|error| {
        Failure::new(Exit::Invalid, format!("cannot change {}", args.torrent.display())).because(&error)
    })?;
    let result = source::parse(bytes.clone().into(), "the result")?;
    if result.info.hashes() != metainfo.info.hashes() {
        return Err(Failure::new(Exit::Other, "the change would alter the hash"));
    }
    keys::write(context, &args.output, &bytes)?;
    let (output, hash) = (&context.output, result.info.wire_hash());
    if args.output.as_os_str() == "-" {
        return Ok(Exit::Done);
    }
    if output.json() {
        output.document(json!({ "torrent": args.output.display().to_string(), "hash": hash.to_string() }));
    } else {
        output.result(format_args!("Wrote {}, hash unchanged: {hash}", args.output.display()));
    }
    Ok(Exit::Done)
}

fn changes(args: &args::Edit) -> Result<Edit, Failure> {
    let outer = &args.outer;
    let tiers = keys::tiers(&outer.tracker)?;
    let web_seeds = keys::web_seeds(&outer.web_seed)?;
    Ok(Edit {
        tiers: change(!outer.tracker.is_empty(), Some(tiers).filter(|tiers| !tiers.is_empty())),
        web_seeds: change(!outer.web_seed.is_empty(), Some(web_seeds).filter(|urls| !urls.is_empty())),
        comment: change(outer.comment.is_some(), outer.comment.clone().filter(|text| !text.is_empty())),
        creation_date: change(
            args.date.is_some(),
            args.date.as_deref().map(keys::date).transpose()?.flatten(),
        ),
        created_by: change(args.created_by.is_some(), keys::creator(args.created_by.as_deref())),
        ..Edit::default()
    })
}

/// Not asked for: it stays; asked for without a value: it goes.
fn change<T>(asked: bool, value: Option<T>) -> Change<T> {
    match value {
        _ if !asked => Change::Keep,
        None => Change::Remove,
        Some(value) => Change::Set(value),
    }
}
