//! `headwater open`: what the desktop calls with a link or a torrent file that somebody clicked.
//!
//! | module | what it is |
//! |---|---|
//! | `click` | from what was clicked to what can be handed over |
//! | `rendezvous` | where clicks find the one process that downloads: a lock, and its address and token |
//! | `call` | handing a click over, and following it |
//! | `host` | that process: the downloads and their lives |
//! | `list` | the downloads as values, and how each stands |
//! | `server`, `gate` | the page on the loopback interface, and who may see it |
//! | `desktop` | notifications, the browser, the Downloads folder |
//!
//! A click hands over and ends at once. If there is nobody to hand over to it starts this program again, in a session of
//! its own, so that the downloads outlive the browser. Nothing that was clicked ever passes through a shell.

mod call;
mod click;
mod desktop;
mod gate;
mod host;
mod list;
mod rendezvous;
mod server;

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Context, block_on};
use crate::args::Open;
use crate::failure::{Exit, Failure};
use call::Answer;
use click::Click;
use host::Patience;
use rendezvous::Rendezvous;

/// The twin of the flag that makes a process the one in the background: a flag would have to find its place in the line.
const DETACHED: &str = "HEADWATER_DETACHED";

/// How long the process in the background may take to answer: it opens a port and reads certificates.
const START: Duration = Duration::from_secs(20);

/// How often it is looked for meanwhile.
const KNOCK: Duration = Duration::from_millis(50);

/// Runs the command.
pub(crate) fn run(context: &Context, args: &Open) -> Result<Exit, Failure> {
    let rendezvous = Rendezvous::at(context.state.path())?;
    if args.detached {
        // It fails only where we lead a session already.
        _ = rustix::process::setsid();
        let Some(claim) = rendezvous.claim()? else { return Ok(Exit::Done) };
        return block_on(host::run(context, args, claim, None, Patience::ForClicks));
    }
    let taken = Click::take(context, args);
    if let (Err(failure), false) = (&taken, args.wait) {
        desktop::Desktop::new(args).failed("Cannot open what you clicked", failure);
    }
    let click = taken?;
    if args.wait
        && !click.sources.is_empty()
        && let Some(claim) = rendezvous.claim()?
    {
        return block_on(host::run(context, args, claim, Some(click), Patience::None));
    }
    block_on(async {
        let answer = hand_over(&rendezvous, &click).await?;
        if context.output.events() {
            context.output.event(json!({ "event": "opened", "ids": answer.ids, "page": answer.page }));
        } else {
            context.output.result(format_args!("Progress: {}", answer.page));
        }
        if args.wait { call::follow(context, &rendezvous, &answer.ids).await } else { Ok(Exit::Done) }
    })
}

/// Gives a click to the process that downloads, and starts that process if there is none.
async fn hand_over(rendezvous: &Rendezvous, click: &Click) -> Result<Answer, Failure> {
    let begun = Instant::now();
    let mut started: Option<Child> = None;
    while begun.elapsed() < START {
        if let Some(answer) = call::hand_over(rendezvous, click).await? {
            return Ok(answer);
        }
        if click.sources.is_empty() {
            return Err(Failure::new(Exit::NotFound, "nothing is being downloaded")
                .hint("name what to download: headwater open FILE|URL|'magnet:…'"));
        }
        let Some(child) = &mut started else {
            started = Some(start(rendezvous)?);
            continue;
        };
        match child.try_wait() {
            // Another one was faster, or is about to end: knock again.
            Ok(Some(status)) if status.success() => started = None,
            Ok(Some(status)) => return Err(not_started(rendezvous, status)),
            _ => {}
        }
        tokio::time::sleep(KNOCK).await;
    }
    Err(Failure::new(Exit::Other, "the process in the background does not answer")
        .hint("headwater open … --wait downloads in the foreground"))
}

fn not_started(rendezvous: &Rendezvous, status: ExitStatus) -> Failure {
    let said = std::fs::read_to_string(rendezvous.log()).unwrap_or_default();
    let why = if said.is_empty() { status.to_string() } else { said.trim().to_owned() };
    Failure::new(Exit::Other, "the process in the background did not start").cause(why)
}

/// Starts this program again with the same flags, as the process in the background.
fn start(rendezvous: &Rendezvous) -> Result<Child, Failure> {
    let trouble = |error: std::io::Error| {
        Failure::new(Exit::Other, "cannot start the process in the background").because(&error)
    };
    let log = std::fs::File::create(rendezvous.log()).map_err(trouble)?;
    Command::new(std::env::current_exe().map_err(trouble)?)
        .args(std::env::args_os().skip(1))
        .env(DETACHED, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(trouble)
}
