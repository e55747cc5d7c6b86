//! `headwater get`: downloads.
//!
//! Every source is a task of its own over one engine: `download` lives one through, `guard` keeps files that are not ours,
//! `words` says how it stands. `open` downloads by the same [`Job`]s.

mod download;
mod guard;
mod words;

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Context, keys, start_engine};
use crate::args::Get;
use crate::config::StateDir;
use crate::failure::{Exit, Failure};
use crate::net::{engine_config, refuse, refuse_any, resolve};
use crate::output::Output;
use crate::select::Selection;
use crate::signals::Stop;

pub(super) use download::{reached, run as download};
pub(super) use words::uploads;

/// How to download: what all downloads of one command share.
pub(super) struct Job {
    pub(super) output: Output,
    pub(super) state: StateDir,
    pub(super) args: Get,
    pub(super) selection: Option<Selection>,
    pub(super) peers: Vec<SocketAddr>,
    pub(super) web_seeds: Vec<String>,
    pub(super) stop: Stop,
}

/// How a download ended if nothing went wrong.
pub(super) enum Ended {
    /// All that was asked for is done.
    Done,
    /// A signal stopped it; this is the exit code.
    Stopped(Exit),
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &Get) -> Result<Exit, Failure> {
    refuse_unsupported(args)?;
    let output = &context.output;
    let sources = sources(&args.source, args.input.as_deref())?;
    if args.output.is_some() && sources.len() > 1 {
        return Err(Failure::usage("-o names one download, and there are several")
            .hint("-d DIR puts all into one folder"));
    }
    let config = engine_config(&args.net, &context.state, args.limit_rate, args.limit_upload)?;
    let selection = if args.files.is_empty() { None } else { Some(Selection::parse(&args.files)?) };
    let stop = Stop::listen(output)?;
    let job = Arc::new(Job {
        output: output.clone(),
        state: context.state.clone(),
        args: args.clone(),
        selection,
        peers: resolve(&args.peer).await?,
        web_seeds: keys::web_seeds(&args.web_seed)?,
        stop,
    });
    let engine = Arc::new(start_engine(config).await?);
    let mut downloads = JoinSet::new();
    for source in sources {
        let (job, engine) = (Arc::clone(&job), Arc::clone(&engine));
        downloads.spawn(async move { download::run(job, &engine, source, |_| {}).await });
    }
    let mut exit = Exit::Done;
    while let Some(ended) = downloads.join_next().await {
        let ended = ended
            .unwrap_or_else(|crash| Err(Failure::new(Exit::Other, "a download crashed").because(&crash)));
        let this = match ended {
            Ok(Ended::Done) => Exit::Done,
            Ok(Ended::Stopped(exit)) => exit,
            Err(failure) => {
                output.failure(&failure);
                failure.exit
            }
        };
        exit = if exit == Exit::Done { this } else { exit };
    }
    if let Some(engine) = Arc::into_inner(engine) {
        engine.stop().await;
    }
    Ok(exit)
}

/// The sources of the command line, then those of a list: one a line, `#` begins a comment.
pub(super) fn sources(given: &[String], list: Option<&Path>) -> Result<Vec<String>, Failure> {
    let mut sources = given.to_vec();
    let Some(list) = list else { return Ok(sources) };
    let trouble = |error: std::io::Error| Failure::io("read", list, &error);
    let reader: Box<dyn BufRead> = if list.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::io::BufReader::new(std::fs::File::open(list).map_err(trouble)?))
    };
    for line in reader.lines() {
        let line = line.map_err(trouble)?;
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            sources.push(line.to_owned());
        }
    }
    if sources.is_empty() {
        Err(Failure::usage(format!("{} names no source", list.display())))
    } else {
        Ok(sources)
    }
}

fn refuse_unsupported(args: &Get) -> Result<(), Failure> {
    if let Some(name) = &args.output {
        if name == "-" {
            return Err(refuse("-o -", "pieces arrive in any order: download to a file, then read it"));
        }
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(
                Failure::usage(format!("-o takes a name, and `{name}` is none")).hint("-d DIR -o NAME")
            );
        }
    }
    refuse_any(&[
        (args.on_complete.is_some(), "--on-complete", "headwater get … && COMMAND"),
        (args.daemon, "--daemon", "leave it out: the download runs in this process"),
    ])
}
