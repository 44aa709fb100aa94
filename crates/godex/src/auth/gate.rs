//! When the token endpoint may be asked: not while it is down, and never again with a login it
//! has called ended. Time is an argument.

use std::time::{Duration, Instant};

use super::{Error, Rejection};

const FIRST_STEP: Duration = Duration::from_secs(1);
const LONGEST_STEP: Duration = Duration::from_mins(1);

/// Open, closed until an instant after a failure, or closed until the file changes.
#[derive(Default)]
pub(super) struct Gate {
    failures: u32,
    opens_at: Option<Instant>,
    ended: Option<Rejection>,
}

impl Gate {
    /// Passes, or says why there is no asking now.
    ///
    /// # Errors
    ///
    /// While the endpoint is left alone, or when the login has ended.
    pub(super) fn pass(&self, now: Instant) -> Result<(), Error> {
        if let Some(rejection) = self.ended {
            return Err(Error::Rejected(rejection));
        }
        match self.opens_at.map(|at| at.saturating_duration_since(now)) {
            Some(retry_after) if !retry_after.is_zero() => Err(Error::Unavailable { retry_after }),
            Some(_) | None => Ok(()),
        }
    }

    /// The endpoint did not answer as it should: 1, 2, 4 ... 60 s without asking.
    pub(super) fn fail(&mut self, now: Instant) -> Duration {
        let step = FIRST_STEP.saturating_mul(1 << self.failures.min(6)).min(LONGEST_STEP);
        self.failures = self.failures.saturating_add(1);
        self.opens_at = Some(now + step);
        step
    }

    /// The endpoint called the login ended.
    pub(super) fn end(&mut self, rejection: Rejection) {
        self.ended = Some(rejection);
    }

    /// Why the login has ended, if it has.
    pub(super) fn ended(&self) -> Option<Rejection> {
        self.ended
    }

    /// The file was written: what was said about the login before may be wrong now.
    pub(super) fn doubt(&mut self) {
        self.ended = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_is_down_is_left_alone_for_longer_and_longer_up_to_a_minute() {
        let mut now = crate::clock::monotonic();
        let mut gate = Gate::default();
        assert!(gate.pass(now).is_ok());
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            let step = gate.fail(now);
            assert_eq!(step, Duration::from_secs(expected));
            let left = Duration::from_millis(1);
            let refused = gate.pass(now + step.checked_sub(left).unwrap());
            assert!(
                matches!(refused, Err(Error::Unavailable { retry_after }) if retry_after == left)
            );
            now += step;
            assert!(gate.pass(now).is_ok());
        }
    }

    #[test]
    fn an_ended_login_is_not_tried_again_until_the_file_changes() {
        let now = crate::clock::monotonic();
        let mut gate = Gate::default();
        gate.end(Rejection::Reused);
        let refused = gate.pass(now + Duration::from_hours(24));
        assert!(matches!(refused, Err(Error::Rejected(Rejection::Reused))));
        gate.doubt();
        assert!(gate.pass(now).is_ok());
    }
}
