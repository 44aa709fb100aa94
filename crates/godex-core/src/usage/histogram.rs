//! Quantiles of latencies in little memory.

/// Counts of durations in buckets whose width grows with the value: an eighth of it at most.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    counts: Vec<u32>,
}

/// Bits that are kept below the leading one.
const BITS: u32 = 3;

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, millis: u64) {
        let bucket = bucket(millis);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    }

    /// The duration that `percent` of all do not exceed, give or take a sixteenth.
    pub fn quantile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.counts.iter().copied().map(u64::from).sum();
        let rank = (all * percent).div_ceil(100).max(1);
        let mut seen = 0;
        self.counts
            .iter()
            .position(|&count| {
                seen += u64::from(count);
                seen >= rank
            })
            .map(middle)
    }
}

fn bucket(millis: u64) -> usize {
    let shift = millis.max(1).ilog2().saturating_sub(BITS);
    // At most 61 * 8 + 15.
    (shift << BITS) as usize + usize::try_from(millis >> shift).unwrap_or(0)
}

fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> BITS).saturating_sub(1);
    let low = (bucket - (shift << BITS)) << shift;
    low + ((1 << shift) >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_within_a_sixteenth() {
        for value in (0..2000).chain([u64::from(u32::MAX), u64::MAX / 2]) {
            let mut histogram = Histogram::default();
            histogram.add(value);
            let found = histogram.quantile(50).unwrap();
            assert!(found.abs_diff(value) <= value / 16, "{value} became {found}");
        }
    }

    #[test]
    fn quantiles_rank_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(50), None);
        (1..=10).for_each(|it| histogram.add(it));
        assert_eq!(histogram.quantile(50), Some(5));
        assert_eq!(histogram.quantile(95), Some(10));
        assert_eq!(histogram.quantile(0), Some(1));
    }
}
