//! `headwater magnet`: the magnet links of torrents, for copying or for a phone's camera.

use metainfo::{Magnet, Metainfo, PeerAddr};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::json;

use super::Context;
use crate::args::{self, HashArg};
use crate::failure::{Exit, Failure};
use crate::select::Selection;
use crate::source;

/// Runs the command.
pub(crate) fn run(context: &Context, args: &args::Magnet) -> Result<Exit, Failure> {
    let output = &context.output;
    let mut described = Vec::new();
    for path in &args.torrent {
        let metainfo = source::read(path)?;
        let link = link(args, &metainfo)?.to_string();
        if output.json() {
            let hashes = metainfo.info.hashes();
            described.push(json!({
                "torrent": path.display().to_string(), "name": metainfo.info.name(), "magnet": link,
                "v1": hashes.v1.map(|hash| hash.to_string()), "v2": hashes.v2.map(|hash| hash.to_string()),
            }));
            continue;
        }
        output.result(&link);
        if args.qr {
            output.result(qr(&link)?);
        }
    }
    if output.json() {
        output.document(json!({ "magnets": described }));
    }
    Ok(Exit::Done)
}

fn link(args: &args::Magnet, metainfo: &Metainfo) -> Result<Magnet, Failure> {
    let mut link = Magnet::of(metainfo);
    if args.no_trackers {
        link.trackers.clear();
    }
    for peer in &args.peer {
        let peer = PeerAddr::parse(peer).ok_or_else(|| {
            Failure::usage(format!("`{peer}` is not an address of a peer")).hint("--peer HOST:PORT")
        })?;
        link.peers.push(peer);
    }
    match args.hash {
        HashArg::V1 => link.hashes.v2 = None,
        HashArg::V2 => link.hashes.v1 = None,
        HashArg::Both => {}
    }
    if link.hashes.wire().is_none() {
        let wanted = if args.hash == HashArg::V1 { "v1" } else { "v2" };
        return Err(
            Failure::usage(format!("{} has no {wanted} hash", metainfo.info.name())).hint("--hash both")
        );
    }
    if let Some(ranges) = &args.select {
        let chosen = Selection::parse(std::slice::from_ref(ranges))?.choose(&metainfo.info);
        let chosen = chosen
            .map_err(|words| Failure::usage(words).hint("`headwater show --files` shows the numbers"))?;
        let numbers = (0u32..).zip(&chosen).filter(|(_, chosen)| **chosen).map(|(number, _)| number..=number);
        link.select = Some(numbers.collect());
    }
    Ok(link)
}

/// Two modules a character, dark on light whatever the terminal's colours: scanners need the light frame.
fn qr(link: &str) -> Result<String, Failure> {
    let code = QrCode::new(link).map_err(|error| {
        Failure::new(Exit::Other, "the link does not fit a QR code")
            .because(&error)
            .hint("--no-trackers makes it shorter")
    })?;
    let (dark, light) = (Dense1x2::Light, Dense1x2::Dark);
    Ok(code.render::<Dense1x2>().dark_color(dark).light_color(light).build())
}
