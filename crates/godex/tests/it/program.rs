//! Runs the built program in an empty environment with a home folder of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use tempfile::TempDir;

/// A home folder, in which nobody is logged in at first.
pub(crate) struct Home {
    folder: TempDir,
    /// For what is temporary: a proxy that somebody else runs leaves its socket in the usual place.
    temporary: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that serves. Dropped, it is killed.
pub(crate) struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it said until it was ready.
    pub(crate) banner: String,
    /// `http://HOST:PORT/v1`.
    pub(crate) url: String,
}

impl Home {
    pub(crate) fn empty() -> Self {
        let [folder, temporary] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        Self { folder, temporary }
    }

    /// A home with the login of an invented account.
    pub(crate) fn logged_in() -> Self {
        let home = Self::empty();
        home.write(".codex/auth.json", LOGIN);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the home folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The program with these words as arguments.
    pub(crate) fn godex(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_godex"));
        command
            .env_clear()
            .env("HOME", self.path())
            .env("TMPDIR", self.temporary.path())
            .current_dir(self.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        end(self.godex(arguments).envs(variables.iter().copied()))
    }

    /// Runs it to its end with something to read.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Ended {
        let mut child = self.godex(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // A program that refuses its arguments need not read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        ended(child)
    }

    /// Starts it and waits until it listens.
    pub(crate) fn serve(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Serving {
        let mut child = self.godex(arguments).envs(variables.iter().copied()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut banner = String::new();
        let mut url = None;
        // The banner is written in one piece, and its last command is the curl to try.
        while !banner.contains("curl ") || banner.ends_with("\\\n") {
            let read = stderr.read_line(&mut banner).unwrap();
            assert!(read > 0, "it ended instead of serving:\n{banner}");
            url = url
                .or_else(|| Some(banner.split_once("listening   ")?.1.lines().next()?.to_owned()));
        }
        let url = url.unwrap().split(' ').next().unwrap().to_owned();
        Serving { child, stderr, banner, url }
    }
}

impl Serving {
    /// Sends a signal, by the name that `kill` knows.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end; what it said after the banner comes with it.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://").trim_end_matches("/v1")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
pub(crate) fn end(command: &mut Command) -> Ended {
    ended(command.spawn().unwrap())
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An invented login whose token has no end: `{"alg":"none"}`, `{"exp":4102444800, ...}`.
const LOGIN: &str = r#"{
  "auth_mode": "chatgpt",
  "OPENAI_API_KEY": null,
  "tokens": {
    "id_token": "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln",
    "access_token": "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln",
    "refresh_token": "rt_invented",
    "account_id": "acc_invented"
  },
  "last_refresh": "2026-11-22T09:46:00.134265825Z"
}
"#;
