//! The machine and the programs on it: which are there, what processes cost, and what else runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Bench;
use crate::interop::named;
use crate::step::{output, root};

/// Ticks of `/proc` in a second: a constant of Linux.
const TICKS: f64 = 100.0;

/// How often the memory of a running program is looked at.
pub(super) const POLL: Duration = Duration::from_millis(2);

/// A page of memory.
const PAGE: usize = 4096;

/// The other programs that are here.
pub(super) struct Peers {
    /// A Python with libtorrent.
    pub(super) libtorrent: Option<PathBuf>,
    pub(super) rqbit: Option<PathBuf>,
    pub(super) aria2: bool,
    pub(super) mktorrent: bool,
    pub(super) transmission: bool,
}

impl Peers {
    /// Looks for them, and names those that are missing.
    pub(super) fn find() -> Self {
        let python =
            named("BENCH_LT_PYTHON").unwrap_or_else(|| root().join("target/interop/venv/bin/python"));
        let runs = |program: &Path, words: &[&str]| {
            let ran = Command::new(program).args(words).stdin(Stdio::null()).output();
            // Some end in an error for want of something to do.
            ran.is_ok_and(|ran| ran.status.success() || !words.contains(&"-c"))
        };
        let rqbit = named("BENCH_RQBIT").unwrap_or_else(|| "rqbit".into());
        let peers = Self {
            libtorrent: Some(python).filter(|python| runs(python, &["-c", "import libtorrent"])),
            rqbit: Some(rqbit).filter(|rqbit| runs(rqbit, &["--version"])),
            aria2: runs(Path::new("aria2c"), &["--version"]),
            mktorrent: runs(Path::new("mktorrent"), &["-v"]),
            transmission: runs(Path::new("transmission-create"), &["--version"]),
        };
        let missing = [
            ("libtorrent (BENCH_LT_PYTHON names a Python that has it)", peers.libtorrent.is_none()),
            ("rqbit (BENCH_RQBIT names it)", peers.rqbit.is_none()),
            ("aria2c", !peers.aria2),
            ("mktorrent", !peers.mktorrent),
            ("transmission-create", !peers.transmission),
        ];
        missing
            .iter()
            .filter(|(_, missing)| *missing)
            .for_each(|(name, _)| eprintln!("missing, left out: {name}"));
        peers
    }

    /// Each with its version.
    fn versions(&self) -> Vec<String> {
        let libtorrent = self.libtorrent.as_ref().map(|python| {
            first_line(
                Command::new(python)
                    .args(["-c", "import libtorrent; print('libtorrent', libtorrent.__version__)"]),
            )
        });
        let rqbit = self.rqbit.as_ref().map(|rqbit| first_line(Command::new(rqbit).arg("--version")));
        let aria2 = self.aria2.then(|| first_line(Command::new("aria2c").arg("--version")));
        let mktorrent = self.mktorrent.then(|| first_line(Command::new("mktorrent").arg("-v")));
        let mktorrent = mktorrent.map(|line| line.split(" (").next().unwrap_or_default().to_owned());
        let transmission =
            self.transmission.then(|| first_line(Command::new("transmission-create").arg("--version")));
        [libtorrent, rqbit, aria2, mktorrent, transmission].into_iter().flatten().collect()
    }
}

/// The first line that a program prints, wherever to.
fn first_line(command: &mut Command) -> String {
    let Ok(ran) = command.stdin(Stdio::null()).output() else { return String::new() };
    let text = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    // mktorrent has its version below an error.
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let version = lines().find(|line| line.chars().any(|letter| letter.is_ascii_digit()));
    version.unwrap_or_default().trim_end_matches('.').to_owned()
}

/// Where and when, in a sentence.
pub(super) fn conditions(bench: &Bench) -> Result<String, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).unwrap_or_default().1;
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory =
        read("/proc/meminfo").split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0_u64);
    let kernel = read("/proc/sys/kernel/osrelease");
    let date = output(Command::new("date").args(["--utc", "+%F %R"]))?;
    let commit = output(Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(root()))?;
    let ours = first_line(Command::new(&bench.headwater).arg("version"));
    Ok(format!(
        "{} UTC, {cores} cores of {model}, {} GiB, Linux {}; {ours} (repository at {}) beside {}.",
        date.trim(),
        (memory + (1 << 19)) >> 20,
        kernel.trim(),
        commit.trim(),
        bench.peers.versions().join(", ")
    ))
}

/// Touches so many MiB of memory and gives them back: where the host of a virtual machine took it away, the next to touch it would pay.
pub(super) fn warm(mebibytes: u32) {
    drop(held(mebibytes));
}

/// So many MiB of touched memory.
pub(super) fn held(mebibytes: u32) -> Vec<u8> {
    let mut memory = vec![0_u8; (mebibytes as usize) << 20];
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    std::hint::black_box(memory)
}

/// What else the machine does, as a share of it in percent.
pub(super) struct Bystanders {
    since: Instant,
    busy: f64,
    ours: f64,
}

impl Bystanders {
    pub(super) fn watch() -> Self {
        Self { since: Instant::now(), busy: machine_cpu(), ours: own_cpu() }
    }

    /// Since the watch began; `others` is the CPU time of measured processes that have not ended.
    pub(super) fn share(&self, others: f64) -> f64 {
        let cores = thread::available_parallelism()
            .map_or(1.0, |cores| u32::try_from(cores.get()).unwrap_or(1).into());
        let strange = machine_cpu() - self.busy - (own_cpu() - self.ours) - others;
        (100.0 * strange / (cores * self.since.elapsed().as_secs_f64())).max(0.0)
    }
}

/// Seconds of CPU of the whole machine.
fn machine_cpu() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1);
    // User, nice, system; then idle and waiting, left out; then interrupts and what the host stole.
    let ticks: Vec<f64> = fields.filter_map(|field| field.parse().ok()).collect();
    ticks
        .iter()
        .take(8)
        .enumerate()
        .filter(|(at, _)| ![3, 4].contains(at))
        .map(|(_, ticks)| ticks)
        .sum::<f64>()
        / TICKS
}

/// Seconds of CPU of this process and of all it has waited for.
fn own_cpu() -> f64 {
    cpu("self", 4)
}

/// Seconds of CPU of a process: with 2 its own, with 4 also those of children that it waited for.
pub(super) fn cpu(process: &str, fields: usize) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may have spaces; user time is the twelfth field after it.
    let numbers = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(fields);
    numbers.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// The most memory that a process had resident, in MiB.
pub(super) fn peak(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// What a program cost that ran to its end.
pub(super) struct Cost {
    /// Seconds.
    pub(super) wall: f64,
    /// Seconds.
    pub(super) cpu: f64,
    /// MiB.
    pub(super) peak: Option<f64>,
}

/// Runs a program to its end; what it prints goes to `log`.
pub(super) fn cost(command: &mut Command, log: &Path) -> Result<Cost, String> {
    let (before, start) = (cpu("self", 4) - cpu("self", 2), Instant::now());
    let mut child = spawn(command, log)?;
    let (process, over) = (child.id(), AtomicBool::new(false));
    let (status, wall, peak) = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = None;
            while !over.load(Ordering::Relaxed) {
                most = peak(process).or(most);
                thread::sleep(POLL);
            }
            most
        });
        let status = child.wait();
        let wall = start.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        (status, wall, watcher.join().unwrap_or_default())
    });
    let status = status.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(Cost { wall, cpu: cpu("self", 4) - cpu("self", 2) - before, peak });
    }
    let said = fs::read_to_string(log).unwrap_or_default();
    Err(format!("{status}: {}", said.lines().last().unwrap_or_default()))
}

/// A program that runs until it is dropped.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self, String> {
        Ok(Self { child: spawn(command, log)?, log: log.to_owned() })
    }

    /// Waits until so many lines of its output begin with this.
    pub(super) fn wait_for(&mut self, begin: &str, lines: usize, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            if text.lines().filter(|line| line.starts_with(begin)).count() >= lines {
                return Ok(());
            }
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("not ready: {}", text.lines().last().unwrap_or_default()));
            }
            thread::sleep(10 * POLL);
        }
    }

    pub(super) fn cpu(&self) -> f64 {
        cpu(&self.child.id().to_string(), 2)
    }

    pub(super) fn peak(&self) -> Option<f64> {
        peak(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child, String> {
    let file = fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
    let other = file.try_clone().map_err(|error| error.to_string())?;
    let child = command.stdin(Stdio::null()).stdout(file).stderr(other).spawn();
    child.map_err(|error| format!("cannot start {}: {error}", command.get_program().to_string_lossy()))
}
