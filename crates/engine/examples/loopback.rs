//! Moves one file between two processes of this machine, to be measured from outside.
//!
//! `loopback make DIR MIB` writes a file and its torrent; `loopback seed DIR PORT` serves it until it is killed;
//! `loopback get DIR TARGET PORT` fetches it from there and ends.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use engine::{Add, Config, Engine, Families, Listen, Phase};
use metainfo::{Builder, Format, Metainfo, NewFile, Outer};
use sha1::{Digest, Sha1};

const PIECE: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments[..] {
        ["make", dir, mib] => make(Path::new(dir), mib.parse()?),
        ["seed", dir, port] => runtime.block_on(seed(Path::new(dir), port.parse()?)),
        ["get", dir, target, port] => runtime.block_on(get(Path::new(dir), Path::new(target), port.parse()?)),
        _ => Err("make DIR MIB | seed DIR PORT | get DIR TARGET PORT".into()),
    }
}

fn make(dir: &Path, mib: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut file = std::fs::File::create(dir.join("payload"))?;
    let (mut piece, mut v1_pieces) = (vec![0; PIECE], Vec::new());
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..mib {
        rng.fill(&mut piece);
        v1_pieces.extend(Sha1::digest(&piece));
        file.write_all(&piece)?;
    }
    let length = (mib * PIECE) as u64;
    let builder = Builder {
        name: "payload".into(),
        piece_length: u32::try_from(PIECE)?,
        format: Format::V1,
        single_file: true,
        files: vec![NewFile { path: vec!["payload".into()], length, ..NewFile::default() }],
        v1_pieces,
        private: false,
        source: None,
        similar: Vec::new(),
        update_url: None,
        outer: Outer::default(),
    };
    Ok(std::fs::write(dir.join("payload.torrent"), builder.encode()?)?)
}

async fn start(dir: &Path, port: u16) -> Result<Engine, Box<dyn std::error::Error>> {
    let listen = Listen { ip: Some(Ipv4Addr::LOCALHOST.into()), port: Some(port) };
    Ok(Engine::start(Config { listen, families: Families::V4, ..Config::new(dir.join("state")) }).await?)
}

fn read(dir: &Path) -> Result<Arc<Metainfo>, Box<dyn std::error::Error>> {
    Ok(Arc::new(Metainfo::parse(&std::fs::read(dir.join("payload.torrent"))?)?))
}

async fn seed(dir: &Path, port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let engine = start(dir, port).await?;
    let add = Add { seed_only: true, ..Add::new(read(dir)?, dir.to_owned()) };
    let mut torrent = engine.add(add).await?;
    while torrent.changed().await {}
    Ok(())
}

async fn get(dir: &Path, target: &Path, port: u16) -> Result<(), Box<dyn std::error::Error>> {
    let engine = start(target, 0).await?;
    let peers = vec![(Ipv4Addr::LOCALHOST, port).into()];
    let begin = Instant::now();
    let mut torrent = engine.add(Add { peers, ..Add::new(read(dir)?, target.to_owned()) }).await?;
    while !matches!(torrent.status().phase, Phase::Seeding) && torrent.changed().await {}
    let took = begin.elapsed();
    engine.stop().await;
    writeln!(io::stderr(), "{took:?} {:?}", torrent.status())?;
    Ok(())
}
