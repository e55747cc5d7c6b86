//! A place to run programs in: a network namespace of our own, a folder, and processes that end with us.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::Outcome;

/// Set in the environment of the run that is inside its namespace.
const INSIDE: &str = "HEADWATER_INTEROP_INSIDE";

/// How many addresses 198.18.0.1… the loopback device of the namespace gets.
const ADDRESSES: u8 = 20;

/// How often a condition of another process is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Starts this program again in a network namespace of its own, where 198.18.0.1… are addresses of `lo`.
///
/// Returns only when already inside; some clients refuse to dial 127.0.0.0/8, so a namespace is the way to be dialled.
pub fn inside_namespace() -> Outcome {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    require(&["unshare", "ip"])?;
    let addresses = (1..=ADDRESSES).map(|last| format!(" && ip addr add 198.18.0.{last}/15 dev lo"));
    let setup = format!("ulimit -n $(ulimit -Hn) && ip link set lo up{}", addresses.collect::<String>());
    let program = std::env::current_exe()?;
    let error = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", &format!("{setup} && exec \"$@\""), "sh"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(format!("cannot enter a network namespace: {error}").into())
}

/// Fails naming every program that is not on the search path.
pub(crate) fn require(programs: &[&str]) -> Outcome {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !on_path(program)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("missing programs: {}", missing.join(", ")).into()) }
}

/// Fails naming what should be at `path`.
pub(crate) fn require_path(path: &Path, what: &str) -> Outcome {
    if path.exists() {
        Ok(())
    } else {
        Err(format!("missing: {what}, expected at {}", path.display()).into())
    }
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin")])
            .any(|folder| folder.join(program).exists())
    })
}

/// A folder that goes with the run, with room for payloads.
pub(crate) struct World {
    folder: tempfile::TempDir,
    addresses: u8,
    authority: Option<PathBuf>,
}

impl World {
    pub(crate) fn new() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("headwater-interop-").tempdir()?;
        Ok(Self { folder, addresses: 0, authority: None })
    }

    /// Has every program that is started from here on trust the certificates of an authority.
    pub(crate) fn trust(&mut self, authority: PathBuf) {
        self.authority = Some(authority);
    }

    /// A folder of this name, made on first use.
    pub(crate) fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Lets programs that gave up their privileges look into the world.
    pub(crate) fn open_to_all(&self) -> io::Result<()> {
        fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o755))
    }

    /// An address nobody in this world uses yet.
    pub(crate) fn address(&mut self) -> Ipv4Addr {
        self.addresses += 1;
        Ipv4Addr::new(198, 18, 0, self.addresses)
    }

    /// The address that is given first.
    pub(crate) const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

    /// Starts a program; what it prints goes to `NAME.out` and `NAME.err`.
    pub(crate) fn start(
        &self,
        name: &str,
        command: &mut Command,
    ) -> Result<Process, Box<dyn std::error::Error>> {
        let (out, err) = (self.path(&format!("{name}.out")), self.path(&format!("{name}.err")));
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?);
        if let Some(authority) = &self.authority {
            // As libcurl in Transmission, OpenSSL in libtorrent, and we are told.
            for variable in ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "HEADWATER_CA_FILE"] {
                command.env(variable, authority);
            }
        }
        let child = command.spawn().map_err(|error| format!("cannot start {command:?}: {error}"))?;
        Ok(Process { name: name.into(), child, out, err })
    }
}

/// A running program; ended by its id when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.out).unwrap_or_default()).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.err).unwrap_or_default()).into_owned()
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, as a service manager does, and waits for that.
    pub(crate) fn terminate(&mut self) -> Outcome {
        output(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()))?;
        self.finish(Duration::from_secs(20))
    }

    /// The status it ended with, if it has ended.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for it to end well.
    pub(crate) fn finish(&mut self, within: Duration) -> Outcome {
        match self.exit_code(within)? {
            Some(0) => Ok(()),
            code => Err(self.complaint(&format!("ended with {code:?}")).into()),
        }
    }

    /// Waits for it to end, and gives its exit code; `None`: a signal ended it.
    pub(crate) fn exit_code(&mut self, within: Duration) -> Result<Option<i32>, Box<dyn std::error::Error>> {
        let deadline = Instant::now() + within;
        loop {
            match self.ended()? {
                Some(status) => return Ok(status.code()),
                None if Instant::now() > deadline => {
                    return Err(self.complaint("did not end in time").into());
                }
                None => thread::sleep(POLL),
            }
        }
    }

    /// Waits until `ready` says so; fails if the program ends first or the time is up.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        within: Duration,
        mut ready: impl FnMut(&Self) -> bool,
    ) -> Outcome {
        let deadline = Instant::now() + within;
        while !ready(self) {
            if let Some(status) = self.ended()?
                && !ready(self)
            {
                return Err(self.complaint(&format!("ended with {status} before {what}")).into());
            }
            if Instant::now() > deadline {
                return Err(self.complaint(&format!("not {what} within {within:?}")).into());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn complaint(&self, what: &str) -> String {
        let tail = |text: String| {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(15)..].join("\n    ")
        };
        format!("{} {what}\n  stdout: {}\n  stderr: {}", self.name, tail(self.stdout()), tail(self.stderr()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end and gives what it printed; fails with what it complained about.
pub(crate) fn output(command: &mut Command) -> Result<String, Box<dyn std::error::Error>> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&done.stderr);
        Err(format!("{command:?} ended with {}: {}", done.status, said.trim()).into())
    }
}

/// SHA-256 over the relative names and contents of everything below `path`, or of the file itself.
///
/// Padding files that other clients write (`.pad`) do not count.
pub(crate) fn fingerprint(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    if path.is_dir() {
        for file in files_below(path)? {
            hasher.update(file.strip_prefix(path).unwrap_or(&file).as_os_str().as_encoded_bytes());
            hash_file(&file, &mut hasher)?;
        }
    } else {
        hash_file(path, &mut hasher)?;
    }
    Ok(hasher.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}")))
}

/// All regular files below a folder, sorted; links are not followed.
pub(crate) fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() && path.file_name() != Some(OsStr::new(".pad")) {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn hash_file(path: &Path, hasher: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
