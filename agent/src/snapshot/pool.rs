//! Shared things that come back: a pool hands one out when nobody else holds it any more.

use std::sync::Arc;

/// Things of one kind, each held by the pool and lent to whoever reads it.
#[derive(Debug)]
pub struct Pool<T> {
    kept: Vec<Arc<T>>,
}

/// How many a pool keeps: a sink's whole queue, the one it writes, the base of growth and the one being made. What is
/// beyond it is allocated and freed, which only happens while several sinks hang at different places.
const KEPT_MAX: usize = crate::sink::QUEUE_SNAPSHOTS + 4;

impl<T> Default for Pool<T> {
    fn default() -> Pool<T> {
        Pool { kept: Vec::new() }
    }
}

impl<T> Pool<T> {
    /// One that nobody holds: `Arc::get_mut` on it works until it is given away.
    pub fn take(&mut self, make: impl FnOnce() -> T) -> Arc<T> {
        let free = self.kept.iter_mut().position(|kept| Arc::get_mut(kept).is_some());
        match free {
            // The search begins with what was free first the last time: in the steady state it ends at once.
            Some(place) => self.kept.swap_remove(place),
            None => Arc::new(make()),
        }
    }

    /// Does something to each that nobody holds.
    pub fn each_free(&mut self, act: impl FnMut(&mut T)) {
        self.kept.iter_mut().filter_map(Arc::get_mut).for_each(act);
    }

    /// Keeps one, which others may hold, for later.
    pub fn keep(&mut self, one: Arc<T>) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_holds_is_not_handed_out_again() {
        let mut pool = Pool::default();
        let first = pool.take(|| 1);
        pool.keep(Arc::clone(&first));
        assert_eq!(*pool.take(|| 2), 2);
        drop(first);
        assert_eq!(*pool.take(|| 3), 1);
    }

    #[test]
    fn a_pool_is_bounded() {
        let mut pool = Pool::default();
        for number in 0..2 * KEPT_MAX {
            pool.keep(Arc::new(number));
        }
        assert_eq!(pool.kept.len(), KEPT_MAX);
    }
}
