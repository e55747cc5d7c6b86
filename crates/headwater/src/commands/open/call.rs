//! A click's side of the talk with the process that downloads: handing over, and following what becomes of it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::click::Click;
use super::rendezvous::{Card, Rendezvous};
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::output::clean;
use crate::signals::Stop;
use crate::units;

/// The longest answer: the list at its longest, with an error of each.
const MAX_ANSWER: usize = 4 << 20;

/// How long an answer may take: that process is on this machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a download that is followed is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// What became of a click.
#[derive(Deserialize)]
pub(super) struct Answer {
    /// Its downloads.
    pub(super) ids: Vec<u32>,
    /// An address of the page, good for one browser.
    pub(super) page: String,
}

/// Hands a click over; nothing if nobody is there to take it.
pub(super) async fn hand_over(rendezvous: &Rendezvous, click: &Click) -> Result<Option<Answer>, Failure> {
    let Some(card) = rendezvous.card() else { return Ok(None) };
    match call(&card, Method::POST, "/api/open", Some(json!(click))).await {
        Some((StatusCode::OK, answer)) => Ok(serde_json::from_value(answer).ok()),
        Some((StatusCode::BAD_REQUEST, error)) => Err(Failure::from_description(&error)),
        // It is ending, or somebody else has its port.
        _ => Ok(None),
    }
}

/// Shows how downloads in the other process go on, and ends when they have ended.
pub(super) async fn follow(context: &Context, rendezvous: &Rendezvous, ids: &[u32]) -> Result<Exit, Failure> {
    let mut stop = Stop::listen(&context.output)?;
    let gone = || {
        Failure::new(Exit::Other, "the process that downloads has ended")
            .hint("run the same line again to go on")
    };
    let mut meter = context.output.meter("downloads");
    loop {
        let card = rendezvous.card().ok_or_else(gone)?;
        let (_, list) = call(&card, Method::GET, "/api/downloads", None).await.ok_or_else(gone)?;
        let followed = |view: &&Value| ids.iter().any(|id| view["id"] == *id);
        let views: Vec<&Value> =
            list["downloads"].as_array().into_iter().flatten().filter(followed).collect();
        if views.iter().all(|view| ["complete", "stopped", "failed"].iter().any(|end| view["state"] == *end))
        {
            drop(meter);
            return Ok(tell(context, &views));
        }
        let sum = |name: &str| views.iter().filter_map(|view| view[name].as_u64()).sum::<u64>();
        let (done, total) = (sum("done"), sum("total"));
        meter.show(done, total, &format!("{}  ↓ {}", units::part(done, total), units::rate(sum("down"))));
        tokio::select! {
            exit = stop.asked() => return Ok(exit),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn tell(context: &Context, views: &[&Value]) -> Exit {
    let mut exit = Exit::Done;
    for view in views {
        let name = view["name"].as_str().unwrap_or_default();
        let this = match view["state"].as_str() {
            Some("complete") => {
                context.output.result(format_args!("Done: {}", clean(view["path"].as_str().unwrap_or(name))));
                Exit::Done
            }
            Some("failed") => {
                let failure = Failure::from_description(&view["error"]);
                context.output.failure(&failure);
                failure.exit
            }
            _ => Exit::Unfinished,
        };
        exit = if exit == Exit::Done { this } else { exit };
    }
    exit
}

/// One request; nothing if there is no answer that makes sense.
async fn call(card: &Card, method: Method, path: &str, body: Option<Value>) -> Option<(StatusCode, Value)> {
    let talk = async {
        let stream = TcpStream::connect(("127.0.0.1", card.port)).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, format!("127.0.0.1:{}", card.port))
            .header(AUTHORIZATION, format!("Bearer {}", card.token))
            .body(Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default())));
        let answer = sender.send_request(request.ok()?).await.ok()?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    };
    tokio::time::timeout(PATIENCE, talk).await.ok()?
}
