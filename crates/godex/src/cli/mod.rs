//! The commands: their arguments, their text and their exit codes.
//!
//! - `command_line`: arguments become a command, or a refusal that says how to write it right.
//! - `report`: exit codes and the form of a failure.
//! - `listener` and `signals`: how a serving command begins and ends; `occupant`: who has its port.
//! - `proxy`: `godex proxy`, from settings to a bound listener, and the folder of its
//!   subcommands.
//! - `keys` and `usage`: `godex proxy keys` and `godex proxy usage`.
//! - `config`: the settings file, shown, written and checked.
//! - `connect`: what a client needs to know, printed or written into its own file.
//! - `doctor`: looks at everything that serving needs.
//! - `admin`, `status`, `top` and `logs`: how the running proxy is, asked over its socket.
//! - `service`, `completions`, `man` and the topics of `help`: what comes with a program.
//! - `login` and `logout`: who the proxy is to the backend.
//! - `settings`: what is said about settings and logins that cannot be used.
//! - `talk` and `table`: where their text goes, and what a list looks like.
//! - `mock`: `godex mock`, the simulator alone.

mod admin;
mod command_line;
mod completions;
mod config;
mod connect;
mod doctor;
mod keys;
mod listener;
mod login;
mod logout;
mod logs;
mod mock;
mod occupant;
mod proxy;
mod report;
mod service;
mod settings;
mod signals;
mod status;
mod table;
mod talk;
mod top;
mod topics;
mod usage;
mod ways;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::report::{Exit, Failure};
use self::talk::{Talk, with_terminal};
use crate::config::{File, FileError, GlobalArgs, Place, Surroundings};

pub use self::command_line::reference;
pub use self::config::reference as configuration;

/// An OpenAI-compatible API in front of the ChatGPT Codex backend.
#[derive(Debug, Parser)]
#[command(name = "godex", version, max_term_width = 100, propagate_version = false)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
struct Godex {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the OpenAI API from your ChatGPT account
    Proxy(Box<proxy::Args>),
    /// Run the simulator of the Codex backend alone
    Mock(mock::Args),
    /// Connect a client to the proxy
    Connect(Box<connect::Args>),
    /// Show how the running proxy is
    Status(status::Args),
    /// Show the running proxy as it goes
    Top(top::Args),
    /// Show what the running proxy logs
    Logs(logs::Args),
    /// Look for what is wrong, and name the remedy
    Doctor(Box<doctor::Args>),
    /// Show, write and check the settings file
    Config(Box<config::Args>),
    /// Sign in to ChatGPT
    Login(Box<login::Args>),
    /// Remove the login from this machine
    Logout(logout::Args),
    /// Run the proxy as a service of this user
    Service(service::Args),
    /// Print the completions of a shell
    Completions(completions::Completions),
    /// Print the manual
    Man(completions::Man),
    /// Show the help of a command, or about: environment, exit-codes
    Help(topics::Args),
}

impl Command {
    /// Whether a settings file says anything to it.
    fn has_settings(&self) -> bool {
        match self {
            Self::Proxy(_)
            | Self::Connect(_)
            | Self::Status(_)
            | Self::Top(_)
            | Self::Logs(_)
            | Self::Doctor(_)
            | Self::Config(_)
            | Self::Login(_)
            | Self::Logout(_) => true,
            Self::Mock(_)
            | Self::Service(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Help(_) => false,
        }
    }
}

/// Runs the program with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let surroundings = Surroundings::of_this_process();
    let surroundings = surroundings.with_colour(command_line::colour(&arguments));
    let settings = Settings::read(&arguments, &surroundings);
    let usual = settings.file().and_then(File::colour).unwrap_or_default();
    let surroundings = surroundings.with_usual_colour(usual);
    let exit = match run(&arguments, settings, &surroundings) {
        Ok(exit) => exit,
        Err(failure) => {
            let mut stderr = io::stderr().lock();
            let colour = surroundings.colour(stderr.is_terminal());
            // Nobody listens any more: the exit code still says it.
            let _ = failure.print(&mut stderr, colour);
            failure.exit()
        }
    };
    exit.into()
}

/// The settings file of this run.
struct Settings {
    named: Option<PathBuf>,
    place: Option<Place>,
    read: Result<Option<File>, FileError>,
}

impl Settings {
    /// Reads the file that the arguments or the surroundings name.
    fn read(arguments: &[OsString], surroundings: &Surroundings) -> Self {
        let named = command_line::settings_file(arguments);
        let path = named.as_deref().or(surroundings.settings_file());
        let place = Place::find(path, surroundings);
        let read = place.as_ref().map_or(Ok(None), Place::read);
        Self { named, place, read }
    }

    fn file(&self) -> Option<&File> {
        self.read.as_ref().ok()?.as_ref()
    }
}

fn run(
    arguments: &[OsString],
    settings: Settings,
    surroundings: &Surroundings,
) -> Result<Exit, Failure> {
    let colour = surroundings.colour(io::stdout().is_terminal());
    let parsed = command_line::parse(arguments, colour, settings.file())?;
    let Some((Godex { global, command }, matches)) = parsed else {
        return Ok(Exit::Success);
    };
    if settings.named.is_some() && settings.named != global.config {
        return Err(Failure::new(Exit::Usage, "--config is given twice").help("give it once"));
    }
    let Settings { place, read, .. } = settings;
    let file = match (&command, read) {
        (Command::Config(_) | Command::Doctor(_), read) => read,
        (command, Err(_)) if !command.has_settings() => Ok(None),
        (_, Ok(file)) => Ok(file),
        (_, Err(error)) => return Err(settings::unread(&error)),
    };
    let on = |run: Run<'_>| with_terminal(surroundings, run);
    match command {
        Command::Proxy(args) => {
            let file = file.as_ref().ok().and_then(Option::as_ref);
            proxy::run(*args, &matches, file, surroundings)
        }
        Command::Config(args) => {
            let settings = config::World { place: place.as_ref(), file: &file, matches: &matches };
            on(Box::new(|it| config::run(*args, &settings, surroundings, it)))
        }
        Command::Mock(args) => mock::run(&args),
        Command::Status(args) => on(Box::new(|it| status::run(&args, surroundings, it))),
        Command::Top(args) => on(Box::new(|it| top::run(&args, surroundings, it))),
        Command::Logs(args) => on(Box::new(|it| logs::run(&args, surroundings, it))),
        Command::Connect(args) => {
            on(Box::new(|it| connect::run(&args, &matches, surroundings, it)))
        }
        Command::Doctor(args) => {
            on(Box::new(|it| doctor::run(*args, &matches, &file, surroundings, it)))
        }
        Command::Login(args) => on(Box::new(|it| login::run(*args, surroundings, it))),
        Command::Logout(args) => on(Box::new(|it| logout::run(&args, surroundings, it))),
        Command::Service(args) => on(Box::new(|it| service::run(args, surroundings, it))),
        Command::Completions(args) => on(Box::new(|it| completions::completions(&args, it))),
        Command::Man(args) => on(Box::new(|it| completions::man(&args, it))),
        Command::Help(args) => on(Box::new(|it| topics::run(&args, colour, it))),
    }
}

/// A command that speaks to a terminal, or to whatever the standard streams are.
type Run<'a> = Box<dyn FnOnce(&mut Talk<'_>) -> Result<Exit, Failure> + 'a>;
