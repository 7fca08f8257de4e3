//! Many measurements of one thing as what lies in their middle and how far they lie apart; and whether that can be trusted. Pure.
#![forbid(unsafe_code)]

use serde::Serialize;

/// So many rounds the cycles are cut into: what differs between these is the machine, since the work is the same.
const ROUNDS: usize = 5;
/// Of the middle, by how much medians of rounds may lie apart. A quiet machine stays below a tenth.
const APART_MAX: f64 = 0.25;
/// Of all processors, how much others may use: above that caches and clocks are theirs.
const BUSY_MAX: f64 = 0.5;
/// Of the time of this machine, how much its host may keep for others.
const STOLEN_MAX: f64 = 0.02;

/// What lies where, in the unit of what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// As many lie below as above.
    pub median: f64,
    /// One in a hundred lies above.
    pub p99: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of these; none of nothing.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        Some(Spread { median: at(&values, 0.5), p99: at(&values, 0.99), least, most })
    }
}

/// The value at this part of sorted ones.
fn at(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

/// What the machine did meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Machine {
    /// Its processors.
    pub processors: usize,
    /// Of all of them, how much others used.
    pub busy: f64,
    /// Of all of them, how much the host of this virtual machine took away.
    pub stolen: f64,
    /// The load of the last minute; null where it could not be read.
    pub load: Option<f64>,
}

/// Whether what was measured can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trust {
    /// Whether it can.
    pub steady: bool,
    /// Of the middle, how far the medians of the rounds lie apart; null of too few cycles.
    pub apart: Option<f64>,
    /// In words, and what to do where it cannot.
    pub verdict: String,
}

/// Judges what each cycle cost, in their order.
#[must_use]
pub fn trust(cycles: &[f64], machine: &Machine) -> Trust {
    // A round of one cycle is no median.
    if cycles.len() < 2 * ROUNDS {
        let verdict = format!("{} cycles are too few to tell: give it at least {}", cycles.len(), 2 * ROUNDS);
        return Trust { steady: false, apart: None, verdict };
    }
    let rounds = cycles.chunks(cycles.len().div_ceil(ROUNDS)).filter_map(|round| Spread::of(round.to_vec()));
    let medians: Vec<_> = rounds.map(|round| round.median).collect();
    let apart = Spread::of(medians).filter(|all| all.median > 0.0).map(|all| (all.most - all.least) / all.median);
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    let (mut against, mut remedy) = (Vec::new(), "measure for longer");
    if let Some(apart) = apart.filter(|apart| *apart > APART_MAX) {
        against.push(format!("from round to round a cycle differs by {}", percent(apart)));
    }
    if machine.busy > BUSY_MAX {
        against.push(format!("others used {} of the processors", percent(machine.busy)));
    }
    if machine.stolen > STOLEN_MAX {
        against.push(format!("{} of the time was taken by other machines of this one's host", percent(machine.stolen)));
    }
    if machine.busy > BUSY_MAX || machine.stolen > STOLEN_MAX {
        remedy = "measure while less runs";
    }
    let steady = against.is_empty();
    let verdict = if steady {
        format!("steady: from round to round a cycle differs by {}", percent(apart.unwrap_or(0.0)))
    } else {
        format!("too noisy to be trusted: {}; {remedy}", against.join(", "))
    };
    Trust { steady, apart, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_of_what_was_measured_and_of_nothing_there_is_none() {
        let hundred = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!(hundred, Some(Spread { median: 50.0, p99: 99.0, least: 1.0, most: 100.0 }));
        assert_eq!(Spread::of(vec![7.0]), Some(Spread { median: 7.0, p99: 7.0, least: 7.0, most: 7.0 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn cycle_that_stands_out_is_no_noise_and_rounds_that_differ_are() {
        let quiet = Machine { processors: 2, busy: 0.1, stolen: 0.0, load: Some(0.1) };
        let mut cycles = vec![1.0; 50];
        cycles[17] = 40.0;
        assert_eq!(trust(&cycles, &quiet).verdict, "steady: from round to round a cycle differs by 0 %");
        cycles[20..30].fill(1.3);
        let told = trust(&cycles, &quiet);
        assert!(!told.steady && told.verdict.ends_with("differs by 30 %; measure for longer"), "{told:?}");
    }

    #[test]
    fn steady_figures_of_a_machine_that_others_use_are_not_trusted() {
        let cycles = [1.0; 10];
        let busy = trust(&cycles, &Machine { busy: 0.6, ..Machine::default() });
        assert!(
            !busy.steady && busy.verdict.ends_with("others used 60 % of the processors; measure while less runs"),
            "{busy:?}"
        );
        let stolen = trust(&cycles, &Machine { stolen: 0.1, ..Machine::default() });
        assert!(!stolen.steady && stolen.verdict.contains("10 % of the time"), "{stolen:?}");
        assert!(trust(&cycles, &Machine::default()).steady);
    }

    #[test]
    fn few_cycles_tell_nothing() {
        let few = trust(&[1.0; 9], &Machine::default());
        assert_eq!((few.steady, &*few.verdict), (false, "9 cycles are too few to tell: give it at least 10"));
    }
}
