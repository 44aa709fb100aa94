//! A terminal in which the commands of a page are typed: one shell with an empty home, whose
//! output comes as it would on a screen.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a command may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stands in front of the exit code of a command, on a line of its own.
const END: char = '\u{1e}';

/// A shell. Dropped, it is ended with everything that was started in it.
pub(crate) struct Terminal {
    shell: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

/// What is waited for after a command was typed.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// Its end.
    Ended,
    /// All that it shall print; it goes on running.
    Printed,
    /// Its end, and what something in the background prints because of it.
    Both,
}

/// What happened after a command was typed.
pub(crate) struct Printed {
    pub(crate) text: String,
    /// Its exit code; none while it runs.
    pub(crate) code: Option<i32>,
}

impl Terminal {
    /// Opens one.
    pub(crate) fn open(variables: &[(String, String)], folder: &Path) -> Self {
        let mut shell = Command::new("sh")
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        // The shell outlives the `^C` that ends a command.
        writeln!(input, "exec 2>&1; trap : INT").unwrap();
        let output = BufReader::new(shell.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.split(b'\n') {
                let line = String::from_utf8_lossy(&line.unwrap_or_default()).into_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { shell, input, lines }
    }

    /// Types a command and waits as it says, with `enough` for a screen that shows all it shall.
    pub(crate) fn type_in(
        &mut self,
        command: &str,
        until: Until,
        enough: impl Fn(&str) -> bool,
    ) -> Printed {
        // Nothing that runs reads the next command, and `$?` is still that of the last one.
        let script = format!(
            "{{ (exit ${{ended:-0}}); {command}\n}} </dev/null; ended=$?; printf '{END}%s\\n' \"$ended\""
        );
        writeln!(self.input, "{script}").unwrap();
        self.read(until, enough)
    }

    /// Ends the command that runs with `^C`.
    pub(crate) fn interrupt(&mut self) -> Printed {
        self.signal("INT");
        self.read(Until::Ended, |_| true)
    }

    fn read(&mut self, until: Until, enough: impl Fn(&str) -> bool) -> Printed {
        let mut printed = Printed { text: String::new(), code: None };
        loop {
            let done = match until {
                Until::Ended => printed.code.is_some(),
                Until::Printed => printed.code.is_some() || enough(&printed.text),
                Until::Both => printed.code.is_some() && enough(&printed.text),
            };
            if done {
                return printed;
            }
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { return printed };
            if let Some((before, ended)) = line.split_once(END) {
                printed.text.push_str(before);
                printed.code = Some(ended.parse().unwrap());
            } else {
                printed.text.push_str(&line);
                printed.text.push('\n');
            }
        }
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.shell.id());
        let _ = Command::new("kill").args(["-s", name, "--", &group]).status();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.shell.wait();
    }
}
