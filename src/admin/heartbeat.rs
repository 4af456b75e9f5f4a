//! When mail came from a source in the last day, as a strip of cells, the newest on the right.

/// Cells, half an hour each: what is known of arrivals is known to half an hour.
const CELLS: usize = 48;
/// Seconds of a cell.
const CELL: i64 = 1_800;
/// From one cell to the next, in the units of the drawing.
const STEP: usize = 6;

/// The strip.
pub(super) struct Heartbeat {
    /// Where the cells are in which mail came.
    pub(super) beats: Vec<usize>,
    /// Where those are in which none came.
    pub(super) rests: Vec<usize>,
    /// The same in words.
    pub(super) says: String,
}

impl Heartbeat {
    /// Of arrivals, in seconds since 1970. Those to come, for the clock was set back, are none.
    pub(super) fn new(arrivals: &[i64], now: i64) -> Self {
        let mut came = [false; CELLS];
        for arrival in arrivals {
            let ago = now.saturating_sub(*arrival);
            let cell =
                usize::try_from(ago.div_euclid(CELL)).ok().and_then(|ago| (CELLS - 1).checked_sub(ago));
            if let Some(cell) = cell.and_then(|cell| came.get_mut(cell)) {
                *cell = true;
            }
        }
        let at = |wanted: bool| {
            let cells = came.iter().enumerate().filter(move |(_, came)| **came == wanted);
            cells.map(|(cell, _)| cell * STEP).collect::<Vec<_>>()
        };
        let (beats, rests) = (at(true), at(false));
        let says = match beats.len() {
            0 => "no mail in the last 24 hours".to_owned(),
            1 => "mail in one half-hour of the last 24 hours".to_owned(),
            many => format!("mail in {many} half-hours of the last 24 hours"),
        };
        Heartbeat { beats, rests, says }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_half_hours() {
        let now = 1_000_000;
        let beats = |arrivals: &[i64]| Heartbeat::new(arrivals, now).beats;
        assert_eq!(beats(&[now]), [(CELLS - 1) * STEP]);
        assert_eq!(beats(&[now - CELL, now - CELL - 5, now - 47 * CELL]), [0, (CELLS - 2) * STEP]);
        assert_eq!(beats(&[now - 48 * CELL, now + 1, i64::MIN, i64::MAX]), [0; 0]);
        let strip = Heartbeat::new(&[now], now);
        assert_eq!(strip.beats.len() + strip.rests.len(), CELLS);
    }
}
