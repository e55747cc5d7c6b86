//! A certificate by ACME from Debian's `pebble`, an authority for tests: ordered, used, and kept over a restart.
//!
//! Hermetic: pebble resolves names at `pebble-challtestsrv`, which answers with the tracker's address whatever is asked.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::clients::PATIENCE;
use crate::matrix::report;
use crate::tls::{Authority, get};
use crate::world::{Process, World};
use crate::{Outcome, Setup};

/// The domain that is ours as far as this world's names go.
const DOMAIN: &str = "tracker.example.org";

/// The port of the tracker, at which pebble looks for the proof.
const HTTPS: u16 = 6971;

/// Pebble's ports: for orders, for looking into it, and its resolver's.
const DIRECTORY: u16 = 14_000;
const MANAGEMENT: u16 = 15_000;
const DNS: u16 = 8053;

/// What pebble prints for each certificate that it gives.
const ISSUED: &str = "Issued certificate";

type Trouble = Box<dyn std::error::Error>;

pub(crate) fn run(setup: &Setup, words: &[&str]) -> Outcome {
    let title = "a certificate by ACME from pebble over HTTPS, kept over a restart";
    if !words.iter().all(|word| title.to_lowercase().contains(&word.to_lowercase())) {
        return Ok(());
    }
    let mut failures = Vec::new();
    report(title, &mut failures, || ordered_and_kept(setup));
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

fn ordered_and_kept(setup: &Setup) -> Outcome {
    let mut world = World::new()?;
    let (ours, theirs) = (world.address(), world.address());
    let authority = Authority::new("who vouches for pebble's own address")?;
    authority.write(world.path("authority.pem"))?;
    let _names = names(&world, ours, theirs)?;
    let pebble = pebble(&world, &authority, theirs)?;
    let at = SocketAddr::from((ours, HTTPS));
    // Pebble makes its root anew at each start.
    let trusted = fs::read_to_string(world.path("authority.pem"))?;
    let root = get((theirs, MANAGEMENT).into(), &theirs.to_string(), &trusted, "/roots/0")?;

    let mut first = track(setup, &world, at, theirs)?;
    first.wait_until("certified", PATIENCE, |process| process.stderr().contains("Got a certificate for"))?;
    healthy(at, &root)?;
    let orders = pebble.stdout().matches(ISSUED).count();
    first.kill();
    drop(first);

    let mut again = track(setup, &world, at, theirs)?;
    again.wait_until("certified", PATIENCE, |process| process.stderr().contains("is the one kept"))?;
    healthy(at, &root)?;
    match (orders, pebble.stdout().matches(ISSUED).count()) {
        (1, 1) => Ok(()),
        counts => Err(format!("pebble gave {counts:?} certificates, wanted one").into()),
    }
}

fn healthy(at: SocketAddr, root: &str) -> Outcome {
    let answer = get(at, DOMAIN, root, "/healthz")?;
    if answer.ends_with("ok\n") { Ok(()) } else { Err(format!("not healthy: {answer}").into()) }
}

fn track(setup: &Setup, world: &World, at: SocketAddr, theirs: Ipv4Addr) -> Result<Process, Trouble> {
    let mut command = Command::new(&setup.headwater);
    command.arg("--state-dir").arg(world.folder("state")?);
    command.args(["track", "--https", &at.to_string(), "--acme", DOMAIN, "--acme-contact", "me@example.org"]);
    command.args(["--acme-directory", &format!("https://{theirs}:{DIRECTORY}/dir"), "--acme-ca-file"]);
    command.arg(world.path("authority.pem"));
    world.start("tracker", &mut command)
}

/// A resolver for which every name is ours.
fn names(world: &World, ours: Ipv4Addr, theirs: Ipv4Addr) -> Result<Process, Trouble> {
    let mut command = Command::new("pebble-challtestsrv");
    command.args([
        "-defaultIPv4",
        &ours.to_string(),
        "-defaultIPv6",
        "",
        "-dns01",
        &format!("{theirs}:{DNS}"),
    ]);
    command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", &format!("{theirs}:8055")]);
    let mut process = world.start("names", &mut command)?;
    process.wait_until("listening", PATIENCE, |_| std::net::TcpStream::connect((theirs, DNS)).is_ok())?;
    Ok(process)
}

fn pebble(world: &World, authority: &Authority, theirs: Ipv4Addr) -> Result<Process, Trouble> {
    let own = authority.vouch(&world.folder("pebble")?, &theirs.to_string(), 2100)?;
    let config = serde_json::json!({ "pebble": {
        "listenAddress": format!("{theirs}:{DIRECTORY}"), "managementListenAddress": format!("{theirs}:{MANAGEMENT}"),
        "certificate": own.cert, "privateKey": own.key, "httpPort": 5002, "tlsPort": HTTPS,
        "ocspResponderURL": "", "externalAccountBindingRequired": false,
    }});
    let path = world.path("pebble.json");
    fs::write(&path, config.to_string())?;
    let mut command = Command::new("pebble");
    command.arg("-config").arg(path).args(["-dnsserver", &format!("{theirs}:{DNS}")]);
    // It is made to test patience, which is not what is tested here.
    command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
    let mut process = world.start("pebble", &mut command)?;
    let at = (theirs, MANAGEMENT);
    process.wait_until("listening", PATIENCE, |_| std::net::TcpStream::connect(at).is_ok())?;
    Ok(process)
}
