//! The commands: each takes its flags and says how it ended.
//!
//! What several of them need stands here: the [`Context`], running an engine, and watching a long piece of work.

mod config;
mod create;
mod edit;
mod get;
mod handler;
mod keys;
mod magnet;
mod open;
pub(crate) mod publish;
mod seed;
mod shell;
mod show;
pub(crate) mod track;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use engine::{Config, Engine, Halt, Listen, StartError};
use metainfo::Info;
use storage::StorageError;
use tokio::runtime::Builder;

use crate::args::{Cli, Command};
use crate::config::StateDir;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::source::Source;
use crate::units;

/// How often a progress bar is drawn again: smooth enough for the eye.
const REDRAW: Duration = Duration::from_millis(100);

/// What every command gets besides its own flags.
#[derive(Clone)]
pub(crate) struct Context {
    /// Where it prints.
    pub(crate) output: Output,
    /// Where it keeps things.
    pub(crate) state: StateDir,
}

/// Runs the command that the user chose.
pub(crate) fn run(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    let context = &Context { output: output.clone(), state: StateDir::find(&cli.global)? };
    match cli.command {
        Command::Create(args) => create::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::Verify(args) => verify::run(context, &args),
        Command::Magnet(args) => magnet::run(context, &args),
        Command::Edit(args) => edit::run(context, &args),
        Command::Get(args) => block_on(get::run(context, &args)),
        Command::Seed(args) => block_on(seed::run(context, &args)),
        Command::Track(args) => block_on_cores(cores(), track::run(context, &args)),
        Command::Publish(args) => block_on(publish::run(context, &args)),
        Command::Open(args) => open::run(context, &args),
        Command::Handler(args) => handler::run(context, &args),
        Command::Config(args) => config::run(context, &args, cli.global.config.as_deref()),
        Command::Completions { shell } => {
            shell::completions(output, shell);
            Ok(Exit::Done)
        }
        Command::Man { dir, force } => shell::man(output, &dir, force),
        Command::Version => {
            shell::version(output);
            Ok(Exit::Done)
        }
    }
}

impl Context {
    /// Loads what a URL names, without seeding or fetching anything else.
    pub(crate) fn fetch_one(&self, url: &str) -> Result<Source, Failure> {
        block_on(async {
            let mut config = Config::new(self.state.path().to_owned());
            config.listen = Listen { ip: Some([127, 0, 0, 1].into()), port: Some(0) };
            let engine = start_engine(config).await?;
            let source = crate::source::load(url, &engine).await;
            engine.stop().await;
            source
        })
    }
}

/// Runs a command that moves torrents. Its sockets and decisions get half of the cores, for the disk threads hash and write
/// as much as these receive and send; a torrent whose tasks share a core finds its data in that core's cache.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    block_on_cores(cores().div_ceil(2), work)
}

/// Runs a command that waits for the network. What still hangs at its end is not waited for.
fn block_on_cores<T>(threads: usize, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Other, "cannot start").because(&error))?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

async fn start_engine(config: Config) -> Result<Engine, Failure> {
    Engine::start(config).await.map_err(|error| match &error {
        StartError::Listen { at, source } => {
            Failure::new(Exit::of_io(source), format!("cannot accept peers on {at}"))
                .because(source)
                .hint("leave --listen out to use a free port")
        }
        StartError::StateDir { path, source } => Failure::io("create", path, source).hint("--state-dir DIR"),
        _ => Failure::new(Exit::Other, "cannot start the engine").because(&error),
    })
}

/// Where a torrent's data lie: the folder around them, and their name if it is not the torrent's own.
#[derive(Clone, Debug)]
struct Place {
    folder: PathBuf,
    rename: Option<String>,
}

/// Finds the data of a torrent. `path` may be the data themselves or the folder around them; without it they are looked for
/// here, then beside the torrent file.
fn locate(info: &Info, path: Option<&Path>, torrent: Option<&Path>) -> Result<Place, Failure> {
    let here = PathBuf::from(".");
    let around = |folder: PathBuf| Place { folder, rename: None };
    let Some(path) = path else {
        let beside = torrent.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
        let beside =
            beside.filter(|folder| !here.join(info.name()).exists() && folder.join(info.name()).exists());
        return Ok(around(beside.map_or(here, Path::to_owned)));
    };
    let metadata = path.metadata().map_err(|error| Failure::io("open", path, &error))?;
    if metadata.is_dir() && (info.single_file() || path.join(info.name()).exists()) {
        return Ok(around(path.to_owned()));
    }
    let full = path.canonicalize().map_err(|error| Failure::io("open", path, &error))?;
    match (full.parent(), full.file_name()) {
        (Some(folder), Some(name)) => {
            Ok(Place { folder: folder.to_owned(), rename: Some(name.to_string_lossy().into_owned()) })
        }
        _ => Ok(around(full)),
    }
}

/// Runs long work on a thread of its own and shows how many of `total` bytes are behind it.
fn with_meter<T: Send>(
    output: &Output,
    name: &str,
    total: u64,
    progress: &AtomicU64,
    work: impl FnOnce() -> T + Send,
) -> T {
    let mut meter = output.meter(name);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let (over, ended) = mpsc::channel::<()>();
        let work = scope.spawn(move || {
            let _over = over;
            work()
        });
        while ended.recv_timeout(REDRAW) == Err(mpsc::RecvTimeoutError::Timeout) {
            let done = progress.load(Ordering::Relaxed);
            let rate = u128::from(done) * 1_000 / begun.elapsed().as_millis().max(1);
            let rate = units::rate(u64::try_from(rate).unwrap_or(u64::MAX));
            meter.show(done, total, &format!("{}  {rate}", units::part(done, total)));
        }
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The number of hashing threads: as asked, or one a core.
fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into)).max(1)
}

/// What a trouble with files means for the user.
fn storage_failure(what: &str, error: &StorageError) -> Failure {
    let exit = if error.is_disk_full() {
        Exit::DiskFull
    } else if error.is_permission() {
        Exit::Permission
    } else if error.is_missing() {
        Exit::NotFound
    } else if in_the_way(error) {
        Exit::Exists
    } else {
        Exit::Other
    };
    Failure::new(exit, what).because(error)
}

/// Whether something that is not the torrent's stands where its files belong.
fn in_the_way(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Longer { .. }
            | StorageError::Occupied(_)
            | StorageError::NotAFile(_)
            | StorageError::NotAFolder(_)
            | StorageError::Symlink(_)
            | StorageError::HardLink { .. }
    )
}

/// What a stopped torrent means for the user.
fn halt_failure(what: &str, halt: &Halt) -> Failure {
    let exit = match halt {
        Halt::DiskFull(_) => Exit::DiskFull,
        Halt::Permission(_) => Exit::Permission,
        Halt::Disagree(_) => Exit::Differs,
        Halt::Metadata(_) | Halt::V2Only => Exit::Invalid,
        Halt::Selection(_) => Exit::Usage,
        Halt::Storage(error) if in_the_way(error) => Exit::Exists,
        Halt::Storage(error) if error.is_missing() => Exit::NotFound,
        _ => Exit::Other,
    };
    let failure = Failure::new(exit, what).because(halt);
    match halt {
        Halt::DiskFull(_) => failure.hint("make room and run the same line again: what arrived is kept"),
        Halt::Storage(StorageError::Longer { .. }) => failure.hint("use --force to replace it"),
        Halt::Storage(error) if in_the_way(error) => {
            failure.hint("move it away, or use another folder: -d DIR")
        }
        Halt::Locked(_) => failure.hint("wait until that process has ended, or use another folder: -d DIR"),
        Halt::V2Only => failure.hint("ask its maker for a hybrid torrent: headwater create --format hybrid"),
        _ => failure,
    }
}
