//! Ctrl-C and SIGTERM: the first asks for a clean stop, the second is obeyed at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Tells a running command when it shall stop.
#[derive(Clone)]
pub(crate) struct Stop {
    asked: watch::Receiver<Option<Exit>>,
}

impl Stop {
    /// Takes the signals over from the system's default, which would end the process without a word.
    pub(crate) fn listen(output: &Output) -> Result<Self, Failure> {
        let trouble =
            |error: std::io::Error| Failure::new(Exit::Other, "cannot listen for signals").because(&error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(trouble)?;
        let (ask, asked) = watch::channel(None);
        let output = output.clone();
        tokio::spawn(async move {
            loop {
                let exit = tokio::select! {
                    _ = interrupt.recv() => Exit::Interrupted,
                    _ = terminate.recv() => Exit::Terminated,
                };
                if ask.send_replace(Some(exit)).is_some() {
                    std::process::exit(exit.code().into());
                }
                output.note("Stopping (again to stop at once)");
            }
        });
        Ok(Self { asked })
    }

    /// Stops when its other half says so, or goes away.
    pub(crate) fn by_hand() -> (watch::Sender<Option<Exit>>, Self) {
        let (ask, asked) = watch::channel(None);
        (ask, Self { asked })
    }

    /// Waits for the first signal: the exit code of a foreground transfer that it stopped.
    pub(crate) async fn asked(&mut self) -> Exit {
        match self.asked.wait_for(Option::is_some).await {
            Ok(exit) => exit.unwrap_or(Exit::Interrupted),
            // Whoever could ask has gone, so there is nobody left to wait for.
            Err(_) => Exit::Interrupted,
        }
    }
}
