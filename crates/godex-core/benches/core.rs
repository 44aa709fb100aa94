//! Times of the pure half: `cargo bench -p godex-core --bench core`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

mod work;

use divan::Bencher;
use divan::counter::ItemsCount;
use work::{Material, WORKS};

fn main() {
    divan::main();
}

#[divan::bench(args = WORKS.iter().map(|it| it.name))]
fn step(bencher: Bencher<'_, '_>, name: &str) {
    let material = Material::new();
    let work = WORKS.iter().find(|it| it.name == name).unwrap();
    bencher.counter(ItemsCount::new(work.times)).bench(|| (work.run)(&material));
}
