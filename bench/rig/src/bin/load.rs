//! `load`: runs once and writes its report to standard output.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use clap::Parser;
use godex_rig::load::tally::Tally;
use godex_rig::load::{Options, report, ways};
use godex_rig::process;

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    process::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = Rc::new(RefCell::new(Tally::default()));
    let tasks = tokio::task::LocalSet::new();
    let measured = tasks.block_on(&runtime, ways::run(options, Rc::clone(&tally)));
    writeln!(std::io::stdout(), "{}", report::report(&tally.borrow(), &measured))
}
