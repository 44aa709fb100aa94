//! `godex service`: the proxy as a service of this user, by systemd or launchd.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Subcommand;
use serde_json::json;

use super::report::{Exit, Failure};
use super::talk::{Talk, pretty};
use super::{Command as Asked, Godex, Settings, command_line, proxy, settings};
use crate::config::{self, Config, Surroundings};
use crate::store::file;

/// `godex service`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start the proxy now and whenever this user is there
    Install {
        /// Print the file instead, and do nothing
        #[arg(long)]
        print: bool,
        /// Flags of godex proxy, after two dashes
        #[arg(last = true, value_name = "FLAGS")]
        flags: Vec<String>,
    },
    /// Stop it and take the file away
    Uninstall,
    /// Show whether it runs
    Status {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
}

/// Anybody may read a unit; secrets do not belong into it.
const PUBLIC: u32 = 0o644;

/// Does what the subcommand says.
///
/// # Errors
///
/// When the file cannot be written, or the service manager refuses.
pub(super) fn run(
    args: Args,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let manager = Manager::of_this_system();
    match args.action {
        Action::Install { print, flags } => {
            let program = std::env::current_exe().map_err(|error| {
                Failure::new(Exit::Failure, "cannot find this program").cause(error.to_string())
            })?;
            let Some(config) = settled(&flags, surroundings)? else {
                return Ok(Exit::Success);
            };
            let home = surroundings.in_home("").map_err(|error| settings::refused(&error))?;
            let folders = Folders::written_by(&config, home);
            let text = manager.text(&program, &flags, &folders);
            if print {
                return talk.say(&text);
            }
            install(manager, &text, &folders, surroundings, talk)
        }
        Action::Uninstall => uninstall(manager, surroundings, talk),
        Action::Status { json: false } => status(manager, surroundings, talk),
        Action::Status { json: true } => document(manager, surroundings, talk),
    }
}

/// What a proxy with these flags and the settings file would do; `None` when they asked for help,
/// which has been printed.
fn settled(flags: &[String], surroundings: &Surroundings) -> Result<Option<Config>, Failure> {
    let words = ["godex", "proxy"].into_iter().chain(flags.iter().map(String::as_str));
    let words: Vec<OsString> = words.map(OsString::from).collect();
    let file = Settings::read(&words, surroundings).read;
    let file = file.map_err(|error| settings::unread(&error))?;
    match command_line::parse(&words, false, file.as_ref())? {
        Some((Godex { command: Asked::Proxy(args), .. }, matches)) => {
            proxy::settle(*args, &matches, surroundings).map(Some)
        }
        Some(_) | None => Ok(None),
    }
}

/// The folders that a service writes to.
struct Folders {
    home: PathBuf,
    all: BTreeSet<PathBuf>,
}

impl Folders {
    /// Those of the login, which is renewed, of the keys, beside which a secret is kept, and of the
    /// usage log. A service begins in the home folder.
    fn written_by(config: &Config, home: PathBuf) -> Self {
        let files = [&config.auth_path, &config.keys_path, &config.stats_path];
        let folders = files.map(|file| home.join(file).parent().map(Path::to_owned));
        let all = folders.into_iter().flatten().filter(|it| it != Path::new("/dev")).collect();
        Self { home, all }
    }

    /// Makes those that there are not: only what is there is opened to a service.
    fn make(&self) -> Result<(), Failure> {
        self.all.iter().try_for_each(|folder| {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| unwritten(folder, &error))
        })
    }

    /// They are what systemd has to leave open.
    fn open(&self) -> String {
        let word = |folder: &PathBuf| {
            let path = match folder.strip_prefix(&self.home) {
                Ok(rest) if rest.as_os_str().is_empty() => "%h".to_owned(),
                Ok(rest) => format!("%h/{}", rest.display().to_string().replace('%', "%%")),
                Err(_) => folder.display().to_string().replace('%', "%%"),
            };
            // Only a space would make two of it.
            if path.contains([' ', '"', '\\', '\'']) {
                format!("\"-{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                format!("-{path}")
            }
        };
        self.all.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// A place that is closed to this user.
fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Config, format!("cannot write {}", path.display()))
        .cause(error.to_string())
        .help("see the file to put it elsewhere: godex service install --print")
        .help("or run it in a terminal:          godex proxy")
}

/// Who runs services here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Systemd,
    Launchd,
}

/// One command of a service manager.
type Step = &'static [&'static str];

impl Manager {
    fn of_this_system() -> Self {
        if cfg!(target_os = "macos") { Self::Launchd } else { Self::Systemd }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Launchd => "launchd",
        }
    }

    fn place(self, surroundings: &Surroundings) -> Result<PathBuf, config::Error> {
        match self {
            Self::Systemd => Ok(surroundings.config_home()?.join("systemd/user/godex.service")),
            Self::Launchd => surroundings.in_home("Library/LaunchAgents/dev.godex.proxy.plist"),
        }
    }

    fn text(self, program: &Path, flags: &[String], folders: &Folders) -> String {
        match self {
            Self::Systemd => unit(program, flags, folders),
            Self::Launchd => plist(program, flags),
        }
    }

    fn begin(self) -> &'static [Step] {
        match self {
            Self::Systemd => &[
                &["systemctl", "--user", "daemon-reload"],
                &["systemctl", "--user", "enable", "--now", "godex.service"],
            ],
            Self::Launchd => &[&["launchctl", "load", "-w", "@"]],
        }
    }

    fn end(self) -> &'static [Step] {
        match self {
            Self::Systemd => &[&["systemctl", "--user", "disable", "--now", "godex.service"]],
            Self::Launchd => &[&["launchctl", "unload", "-w", "@"]],
        }
    }

    fn show(self) -> Step {
        match self {
            Self::Systemd => &["systemctl", "--user", "--no-pager", "status", "godex.service"],
            Self::Launchd => &["launchctl", "list", "dev.godex.proxy"],
        }
    }

    fn logs(self) -> &'static str {
        match self {
            Self::Systemd => "journalctl --user -u godex -f",
            Self::Launchd => "tail -f /tmp/godex.log",
        }
    }
}

/// Runs one command; `@` in it is the file.
fn call(step: Step, place: &Path) -> Result<(), Failure> {
    let words: Vec<&OsStr> =
        step.iter().map(|it| if *it == "@" { place.as_os_str() } else { OsStr::new(it) }).collect();
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let failed = |cause: String| {
        let line = step.join(" ").replace('@', &place.display().to_string());
        Failure::new(Exit::Failure, format!("`{line}` has failed")).cause(cause)
    };
    let ended = Command::new(program).args(arguments).output().map_err(|error| {
        failed(error.to_string())
            .help("there is no service manager for users here: run godex proxy in a terminal")
            .help("or see the file to use it elsewhere: godex service install --print")
    })?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.lines().next().unwrap_or("it does not say why").to_owned();
    Err(failed(said))
}

fn install(
    manager: Manager,
    text: &str,
    folders: &Folders,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let place = manager.place(surroundings).map_err(|error| settings::refused(&error))?;
    let existed = place.exists();
    folders.make()?;
    let written = place.parent().map_or(Ok(()), fs::create_dir_all);
    let written = written.and_then(|()| file::replace(&place, text.as_bytes(), PUBLIC));
    written.map_err(|error| unwritten(&place, &error))?;
    for step in manager.begin() {
        if let Err(failure) = call(step, &place) {
            if !existed {
                // A file that nobody runs would only be in the way of the next try.
                let _ = fs::remove_file(&place);
            }
            return Err(failure);
        }
    }
    talk.note(&format!("the proxy runs, now and after the next login: {}", place.display()));
    talk.note(&format!("  see it  godex service status, {}", manager.logs()));
    if manager == Manager::Systemd {
        talk.note("  without a login session, too:  loginctl enable-linger");
    }
    Ok(Exit::Success)
}

fn uninstall(
    manager: Manager,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let place = manager.place(surroundings).map_err(|error| settings::refused(&error))?;
    if !place.exists() {
        talk.note(&format!("there is no service: {} does not exist", place.display()));
        return Ok(Exit::Success);
    }
    let ended = manager.end().iter().try_for_each(|step| call(step, &place));
    fs::remove_file(&place).map_err(|error| {
        Failure::new(Exit::Failure, format!("cannot remove {}", place.display()))
            .cause(error.to_string())
    })?;
    talk.note(&format!("removed {}", place.display()));
    ended.map(|()| Exit::Success)
}

fn status(
    manager: Manager,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let place = manager.place(surroundings).map_err(|error| settings::refused(&error))?;
    if !place.exists() {
        talk.note("there is no service; godex service install makes one");
        return Ok(Exit::Failure);
    }
    let Some((program, arguments)) = manager.show().split_first() else {
        return Ok(Exit::Success);
    };
    let shown = Command::new(program).args(arguments).output().map_err(|error| {
        Failure::new(Exit::Failure, format!("`{program}` cannot be run")).cause(error.to_string())
    })?;
    talk.say(&String::from_utf8_lossy(&shown.stdout))?;
    Ok(if shown.status.success() { Exit::Success } else { Exit::Failure })
}

/// Whether it runs, for programs.
fn document(
    manager: Manager,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let place = manager.place(surroundings).map_err(|error| settings::refused(&error))?;
    let installed = place.exists();
    let asked = manager.show().split_first().filter(|_| installed);
    let asked = asked.and_then(|(program, words)| Command::new(program).args(words).output().ok());
    let running = asked.is_some_and(|it| it.status.success());
    talk.say(&pretty(&json!({
        "schema_version": 1,
        "manager": manager.name(),
        "file": place.display().to_string(),
        "installed": installed,
        "running": running,
    })))?;
    Ok(if running { Exit::Success } else { Exit::Failure })
}

/// The unit of a user, as closed as the proxy can live in.
fn unit(program: &Path, flags: &[String], folders: &Folders) -> String {
    let open = folders.open();
    let mut command = quoted(&program.display().to_string());
    command.push_str(" proxy");
    for flag in flags {
        let _ = write!(command, " {}", quoted(flag));
    }
    format!(
        "[Unit]
Description=godex proxy: an OpenAI-compatible API in front of the ChatGPT Codex backend
After=network-online.target

[Service]
Type=notify
ExecStart={command}
Restart=on-failure
RestartSec=3
# Exit codes that only a person can mend: nobody is logged in, a wrong setting, a damaged file.
RestartPreventExitStatus=2 4 78
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
# Login, keys and usage log.
ReadWritePaths={open}
# The socket of godex status; it stays for a proxy that is started by hand.
RuntimeDirectory=godex
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
UMask=0077

[Install]
WantedBy=default.target
"
    )
}

/// One word of a command line, as systemd reads it.
fn quoted(word: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=+,@".contains(it);
    let word = word.replace('%', "%%").replace('$', "$$");
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

fn plist(program: &Path, flags: &[String]) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let program = program.display().to_string();
    let words = [program.as_str(), "proxy"].into_iter().chain(flags.iter().map(String::as_str));
    let words = words.fold(String::new(), |mut lines, word| {
        let _ = writeln!(lines, "    <string>{}</string>", escape(word));
        lines
    });
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<plist version=\"1.0\">
<dict>
  <key>Label</key>
  <string>dev.godex.proxy</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>StandardErrorPath</key>
  <string>/tmp/godex.log</string>
</dict>
</plist>
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(all: &[&str]) -> Folders {
        Folders { home: "/home/ann".into(), all: all.iter().map(PathBuf::from).collect() }
    }

    #[test]
    fn the_files_say_which_program_with_which_flags() {
        let flags =
            ["--allow-refresh".to_owned(), "--instructions=Be \"brief\" & $5 50%".to_owned()];
        let program = Path::new("/opt/my tools/godex");
        let unit = unit(program, &flags, &folders(&["/home/ann/.codex"]));
        insta::assert_snapshot!(unit + "----\n" + &plist(program, &flags));
    }

    #[test]
    fn folders_are_written_as_systemd_reads_them() {
        let all = ["/home/ann", "/home/ann/my logs", "/home/anna/5%", "/srv/\"x\"\\"];
        let expected = r#"-%h "-%h/my logs" -/home/anna/5%% "-/srv/\"x\"\\""#;
        assert_eq!(folders(&all).open(), expected);
    }
}
