//! The widths that columns have had: numbers that grow and shrink by a digit must not make a live table dance.

use std::collections::BTreeMap;

use super::value::Width;

/// After so many drawings a column may become narrower again: one spike must not widen it for a day.
const KEPT_DRAWINGS: usize = 60;

/// A column: of the collector of this place, of this table or of its scalars, the metric of this place.
pub type Place = (usize, Option<usize>, usize);

/// What is remembered from one drawing to the next.
#[derive(Debug, Default)]
pub struct Held {
    widths: BTreeMap<Place, Width>,
    drawings: usize,
    screen: usize,
}

impl Held {
    /// A drawing begins, on a screen of this width.
    pub fn begin(&mut self, screen: usize) {
        self.drawings += 1;
        if self.screen != screen || self.drawings > KEPT_DRAWINGS {
            self.widths.clear();
            (self.drawings, self.screen) = (0, screen);
        }
    }

    /// The widest that this column has been, with what it needs now.
    pub fn widest(&mut self, place: Place, needs: Width) -> Width {
        let held = self.widths.entry(place).or_default();
        *held = held.max(needs);
        *held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_keeps_its_width_for_a_while_and_on_the_same_screen_only() {
        let mut held = Held::default();
        let mut need = |screen, text| {
            held.begin(screen);
            held.widest((0, None, 0), Width { text, unit: 0 }).text
        };
        assert_eq!([need(80, 3), need(80, 6), need(80, 3)], [3, 6, 6]);
        assert_eq!(need(100, 3), 3);
        need(100, 6);
        assert!((0..=KEPT_DRAWINGS).any(|_| need(100, 3) == 3));
    }
}
