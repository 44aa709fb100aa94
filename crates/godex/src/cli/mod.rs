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
//! - `login` and `logout`: who the proxy is to the backend.
//! - `settings`: what is said about settings and logins that cannot be used.
//! - `talk` and `table`: where their text goes, and what a list looks like.
//! - `mock`: `godex mock`, the simulator alone.

mod command_line;
mod connect;
mod doctor;
mod keys;
mod listener;
mod login;
mod logout;
mod mock;
mod proxy;
mod report;
mod settings;
mod signals;
mod table;
mod talk;
mod usage;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::report::{Exit, Failure};
use self::talk::with_terminal;
use crate::config::Surroundings;

pub use self::command_line::reference;

/// An OpenAI-compatible API in front of the ChatGPT Codex backend.
#[derive(Debug, Parser)]
#[command(name = "godex", version, max_term_width = 100, propagate_version = false)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Godex {
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
    /// Look for what is wrong, and name the remedy
    Doctor(Box<doctor::Args>),
    /// Sign in to ChatGPT
    Login(Box<login::Args>),
    /// Remove the login from this machine
    Logout(logout::Args),
}

/// Runs the program with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    let surroundings = Surroundings::of_this_process();
    let exit = match run(&surroundings) {
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

fn run(surroundings: &Surroundings) -> Result<Exit, Failure> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let colour = surroundings.colour(io::stdout().is_terminal());
    let Some((Godex { command }, matches)) = command_line::parse(&arguments, colour)? else {
        return Ok(Exit::Success);
    };
    match command {
        Command::Proxy(args) => proxy::run(*args, &matches, surroundings),
        Command::Mock(args) => mock::run(&args),
        Command::Connect(args) => {
            with_terminal(surroundings, |talk| connect::run(*args, surroundings, talk))
        }
        Command::Doctor(args) => {
            with_terminal(surroundings, |talk| doctor::run(*args, &matches, surroundings, talk))
        }
        Command::Login(args) => {
            with_terminal(surroundings, |talk| login::run(*args, surroundings, talk))
        }
        Command::Logout(args) => {
            with_terminal(surroundings, |talk| logout::run(&args, surroundings, talk))
        }
    }
}
