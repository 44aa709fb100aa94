//! The pure half under an instruction counter: `bench/instructions` runs this in callgrind.
//!
//! Without an argument it lists what there is and how many requests or events that is for; with a
//! name it does that work [`REPEATED`] times, with another word only what every run does first.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

mod work;

use std::io::{Write, stdout};

use work::{Material, WORKS};

/// How often one run does the work.
const REPEATED: usize = 20;

fn main() {
    let Some(name) = std::env::args().skip(1).find(|it| it != "--bench") else {
        let mut out = stdout().lock();
        for work in WORKS {
            writeln!(out, "{}\t{}", work.times * REPEATED, work.name).unwrap();
        }
        return;
    };
    let material = Material::new();
    let chosen = WORKS.iter().find(|it| it.name == name);
    for work in std::iter::repeat_n(chosen, REPEATED).flatten() {
        (work.run)(&material);
    }
}
