//! The clock that all processes of a machine share, and its stamps inside events.

use rustix::time::{ClockId, clock_gettime};

/// How many digits a number that is written into prepared bytes has.
pub const DIGITS: usize = 16;

/// Where a stamp goes: `@`, microseconds, `@`.
pub const STAMP: &str = "@0000000000000000@";

/// Nanoseconds on the monotonic clock, comparable between processes.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Writes a number over the digits in front.
pub fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().take(DIGITS).rev() {
        *digit =
            b"0123456789".get(usize::try_from(number % 10).unwrap_or(0)).copied().unwrap_or(b'0');
        number /= 10;
    }
}

/// The stamp in an event, in microseconds, if there is one.
pub fn stamp(event: &[u8]) -> Option<u64> {
    memchr::memchr_iter(b'@', event).find_map(|at| {
        let (digits, rest) = event.get(at + 1..)?.split_at_checked(DIGITS)?;
        let whole = rest.first() == Some(&b'@') && digits.iter().all(u8::is_ascii_digit);
        whole.then(|| digits.iter().fold(0, |sum, it| sum * 10 + u64::from(it - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_that_was_written_is_read() {
        let mut event = format!("data: a@b {STAMP}words").into_bytes();
        write_digits(&mut event[11..], 1_234_567_890);
        assert_eq!(stamp(&event), Some(1_234_567_890));
        assert_eq!(stamp(b"data: somebody@example.org"), None);
    }
}
