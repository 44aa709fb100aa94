//! What a process and its children cost, read from `/proc`.

use std::fs;
use std::path::Path;

/// Processor time and memory of a process and all its descendants.
#[derive(Clone, Copy, Default, Debug)]
pub struct Cost {
    /// Nanoseconds that the scheduler counted for every live thread, kernel included.
    pub run_ns: u64,
    /// The same in clock ticks, with the threads that have ended.
    pub ticks: u64,
    /// Resident memory.
    pub rss_kb: u64,
}

impl Cost {
    /// Microseconds that were spent since an earlier reading. The scheduler's count lacks threads
    /// that ended in between: when the ticks say more by over two, they are taken.
    pub fn cpu_us_since(self, earlier: Self) -> u64 {
        let exact = self.run_ns.saturating_sub(earlier.run_ns) / 1_000;
        let tick_us = 1_000_000 / rustix::param::clock_ticks_per_second().max(1);
        let counted = self.ticks.saturating_sub(earlier.ticks) * tick_us;
        if counted > exact + 2 * tick_us { counted } else { exact }
    }
}

/// A line of `/proc/PID/stat`, as far as it is needed.
struct Stat {
    id: u32,
    parent: u32,
    ticks: u64,
}

fn stat(folder: &Path) -> Option<Stat> {
    let id = folder.file_name()?.to_str()?.parse().ok()?;
    let text = fs::read_to_string(folder.join("stat")).ok()?;
    // The name of the program stands in brackets and may contain anything.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let number = |at: usize| fields.get(at).and_then(|it| it.parse::<u64>().ok());
    let parent = fields.get(1)?.parse().ok()?;
    Some(Stat { id, parent, ticks: number(11)? + number(12)? })
}

/// Reads the cost of a process and of everything it started.
pub fn cost(root: u32) -> Cost {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<Stat> = entries.filter_map(|entry| stat(&entry.path())).collect();
    let mut family = vec![root];
    let mut grown = 0;
    while grown < family.len() {
        let parent = family.get(grown).copied();
        family.extend(all.iter().filter(|it| Some(it.parent) == parent).map(|it| it.id));
        grown += 1;
    }
    all.iter().filter(|it| family.contains(&it.id)).fold(Cost::default(), |sum, one| Cost {
        run_ns: sum.run_ns + run_ns(one.id),
        ticks: sum.ticks + one.ticks,
        rss_kb: sum.rss_kb + rss_kb(one.id),
    })
}

fn run_ns(id: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|it| fs::read_to_string(it.path().join("schedstat")).ok());
    texts.filter_map(|it| it.split(' ').next().and_then(|it| it.parse::<u64>().ok())).sum()
}

fn rss_kb(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/statm")).unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096) / 1024
}

/// Raises the limit of open files to what is allowed: thousands of streams need it.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A refusal shows as failed connections, which are counted.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
