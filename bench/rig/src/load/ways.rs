//! The three ways to send: closed loop, open loop, held streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::Options;
use super::connection::{Connection, Failure};
use super::tally::Tally;
use crate::clock;
use crate::process::{self, Cost};

/// Between a failed request and the next one of a closed loop.
const AFTER_FAILURE: Duration = Duration::from_millis(20);
/// How long held streams may take to begin after the last one was opened.
const TO_BEGIN: Duration = Duration::from_secs(20);
/// Until memory has settled after that.
const TO_SETTLE: Duration = Duration::from_millis(500);
/// How precisely an open loop keeps its times.
const TIMER_SLACK_NS: u64 = 1_000;
/// Streams that are opened together.
const TOGETHER: usize = 10;

/// What was measured beside the tally.
pub struct Measured {
    /// Seconds that were counted.
    pub seconds: f64,
    /// Cost of the process before there was any load.
    pub idle: Cost,
    /// At the start of what was counted.
    pub before: Cost,
    /// At its end.
    pub after: Cost,
}

/// What all requests of a run share.
struct Run {
    options: Options,
    requests: Vec<Vec<u8>>,
    tally: Rc<RefCell<Tally>>,
    idle: RefCell<Vec<Connection>>,
    sent: Cell<u64>,
}

/// Sends what the options say.
pub async fn run(options: Options, tally: Rc<RefCell<Tally>>) -> Measured {
    let requests = options.requests();
    let (idle, sent) = (RefCell::default(), Cell::new(0));
    let run = Rc::new(Run { options, requests, tally, idle, sent });
    let idle = run.cost();
    if let Some(streams) = run.options.way.hold {
        run.hold(streams).await;
    } else {
        match run.options.way.rate {
            Some(rate) => run.open_loop(rate),
            None => run.closed_loop(),
        }
        tokio::time::sleep(Duration::from_secs_f64(run.options.warm_up)).await;
    }
    let (before, begun) = (run.cost(), clock::now_ns());
    run.tally.borrow_mut().switch(true);
    run.wait().await;
    run.tally.borrow_mut().switch(false);
    let seconds = Duration::from_nanos(clock::now_ns() - begun).as_secs_f64();
    Measured { seconds, idle, before, after: run.cost() }
}

impl Run {
    fn cost(&self) -> Cost {
        self.options.process.map_or_else(Cost::default, process::cost)
    }

    /// Waits for the time that is counted, or for the last of a given number of requests.
    async fn wait(&self) {
        let whole = Duration::from_secs_f64(self.options.seconds);
        let Some(most) = self.options.requests else { return tokio::time::sleep(whole).await };
        let begun = clock::now_ns();
        let finished = |tally: &Tally| tally.ok + tally.errors >= most;
        while !finished(&self.tally.borrow()) && clock::now_ns() - begun < nanoseconds(whole) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn one(&self, connection: &mut Option<Connection>, planned_ns: u64) -> bool {
        let number = usize::try_from(self.sent.replace(self.sent.get() + 1)).unwrap_or(0);
        let request = self.requests.get(number % self.requests.len().max(1));
        let sent = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => Connection::open(self.options.address, self.options.read_rate).await?,
            };
            let request = request.map(Vec::as_slice).unwrap_or_default();
            let lives = open.exchange(request, planned_ns, &self.tally).await?;
            Ok::<_, Failure>(lives.then_some(open))
        };
        match sent.await {
            Ok(kept) => {
                *connection = kept;
                true
            }
            Err(failure) => {
                self.tally.borrow_mut().failed(format!("{failure:?}"));
                false
            }
        }
    }

    /// Every connection sends its next request when it has its answer.
    fn closed_loop(self: &Rc<Self>) {
        let most = self.options.requests.unwrap_or(u64::MAX);
        for _ in 0..self.options.connections {
            let run = Rc::clone(self);
            spawn_local(async move {
                let mut connection = None;
                while run.sent.get() < most {
                    if !run.one(&mut connection, clock::now_ns()).await {
                        tokio::time::sleep(AFTER_FAILURE).await;
                    }
                }
            });
        }
    }

    /// Requests leave at their times, whatever became of those before.
    fn open_loop(self: &Rc<Self>, rate: f64) {
        let whole = Duration::from_secs_f64(self.options.warm_up + self.options.seconds);
        let (planned, mut times) = mpsc::unbounded_channel();
        std::thread::spawn(move || keep_time(rate, whole, &planned));
        let run = Rc::clone(self);
        spawn_local(async move {
            let under_way = Rc::new(Cell::new(0));
            while let Some(at) = times.recv().await {
                if under_way.get() == run.options.connections {
                    run.tally.borrow_mut().skipped += 1;
                    continue;
                }
                under_way.set(under_way.get() + 1);
                let (run, under_way) = (Rc::clone(&run), Rc::clone(&under_way));
                spawn_local(async move {
                    let mut connection = run.idle.borrow_mut().pop();
                    run.one(&mut connection, at).await;
                    run.idle.borrow_mut().extend(connection);
                    under_way.set(under_way.get() - 1);
                });
            }
        });
    }

    /// Opens streams that outlast the measurement, and waits until all have begun.
    async fn hold(self: &Rc<Self>, streams: usize) {
        let pause = Duration::from_secs_f64(1.0 / self.options.ramp);
        for number in 1..=streams {
            let run = Rc::clone(self);
            spawn_local(async move { run.one(&mut None, clock::now_ns()).await });
            if number % TOGETHER == 0 {
                tokio::time::sleep(pause * u32::try_from(TOGETHER).unwrap_or(1)).await;
            }
        }
        let opened = clock::now_ns();
        let late = |now: u64| now - opened > nanoseconds(TO_BEGIN);
        while self.tally.borrow().begun < streams && !late(clock::now_ns()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(TO_SETTLE).await;
    }
}

/// A thread of its own: the timers of the runtime are too coarse.
fn keep_time(rate: f64, whole: Duration, planned: &mpsc::UnboundedSender<u64>) {
    // Without it the times are kept less precisely, for all that is measured alike.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZero::new(TIMER_SLACK_NS));
    let (begun, gap) = (clock::now_ns(), Duration::from_secs_f64(1.0 / rate));
    for number in 1_u32.. {
        let after = gap * number;
        let at = begun + nanoseconds(after);
        std::thread::sleep(Duration::from_nanos(at.saturating_sub(clock::now_ns())));
        if after > whole || planned.send(at).is_err() {
            return;
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
