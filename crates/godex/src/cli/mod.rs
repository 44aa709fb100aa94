//! The commands: their arguments, their text and their exit codes.
//!
//! - `command_line`: arguments become a command, or a refusal that says how to write it right.
//! - `report`: exit codes and the form of a failure.
//! - `listener` and `signals`: how a serving command begins and ends.
//! - `proxy`: `godex proxy`, from settings to a bound listener, and the folder of its
//!   subcommands.
//! - `keys` and `usage`: `godex proxy keys` and `godex proxy usage`.
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
mod connect;
mod doctor;
mod keys;
mod listener;
mod login;
mod logout;
mod logs;
mod mock;
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

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::report::{Exit, Failure};
use self::talk::{Talk, with_terminal};
use crate::config::{Colour, Surroundings};

pub use self::command_line::reference;

/// An OpenAI-compatible API in front of the ChatGPT Codex backend.
#[derive(Debug, Parser)]
#[command(name = "godex", version, max_term_width = 100, propagate_version = false)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
struct Godex {
    /// Whether text is coloured
    #[arg(long, value_name = "WHEN", global = true, value_enum, default_value_t)]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(help = "Colour text: auto, always or never", help_heading = "Output")]
    color: Colour,
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

/// Runs the program with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let surroundings = Surroundings::of_this_process();
    let surroundings = surroundings.with_colour(command_line::colour(&arguments));
    let exit = match run(&arguments, &surroundings) {
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

fn run(arguments: &[OsString], surroundings: &Surroundings) -> Result<Exit, Failure> {
    let colour = surroundings.colour(io::stdout().is_terminal());
    let Some((Godex { command, color }, matches)) = command_line::parse(arguments, colour)? else {
        return Ok(Exit::Success);
    };
    let surroundings = &surroundings.clone().with_colour(color);
    let on = |run: Run<'_>| with_terminal(surroundings, run);
    match command {
        Command::Proxy(args) => proxy::run(*args, &matches, surroundings),
        Command::Mock(args) => mock::run(&args),
        Command::Status(args) => on(Box::new(|it| status::run(&args, surroundings, it))),
        Command::Top(args) => on(Box::new(|it| top::run(&args, surroundings, it))),
        Command::Logs(args) => on(Box::new(|it| logs::run(&args, surroundings, it))),
        Command::Connect(args) => on(Box::new(|it| connect::run(&args, surroundings, it))),
        Command::Doctor(args) => on(Box::new(|it| doctor::run(*args, &matches, surroundings, it))),
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
