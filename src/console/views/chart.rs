//! Numbers over time, in cells of eight heights.

use std::ops::Range;

use ratatui::{buffer::Buffer, layout::Rect};

use super::{Skin, put};

/// One row; `top` is the value of a full cell, or the highest value where that is more. A hole
/// is a space.
pub fn sparkline(points: &[Option<f64>], top: f64, width: usize, skin: Skin) -> String {
    let start = points.len().saturating_sub(width);
    let top = points.iter().flatten().fold(top, |top, value| top.max(*value));
    let mut text = " ".repeat(width.saturating_sub(points.len()));
    for point in &points[start..] {
        text.push_str(point.map_or(" ", |value| skin.heights()[eighths(value, top, 8) - 1]));
    }
    text
}

/// Height in eighths of a cell, at least one: a measured zero is not a hole.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "clamped to a few cells"
)]
fn eighths(value: f64, top: f64, most: usize) -> usize {
    let top = if top > 0.0 { top } else { 1.0 };
    let share = (value / top).clamp(0.0, 1.0) * most as f64;
    (share.ceil() as usize).clamp(1, most.max(1))
}

/// A chart over the whole area; the newest value at the right.
pub fn bars(points: &[Option<f64>], top: f64, skin: Skin, area: Rect, buf: &mut Buffer) {
    let height = usize::from(area.height);
    let columns = spread(points, usize::from(area.width));
    for (x, point) in (area.left()..area.right()).zip(columns) {
        let Some(value) = point else { continue };
        let filled = eighths(value, top, height * 8);
        for up in 0..height {
            let rest = filled.saturating_sub(up * 8).min(8);
            if rest == 0 {
                break;
            }
            let y = area.bottom() - 1 - u16::try_from(up).unwrap_or(u16::MAX);
            let row = Rect { y, height: 1, ..area };
            put(buf, row, x, skin.heights()[rest - 1], skin.info());
        }
    }
}

/// As many points as there are columns: several columns for a point, or the highest of several
/// points for a column.
fn spread(points: &[Option<f64>], width: usize) -> Vec<Option<f64>> {
    let count = points.len();
    if count == 0 {
        return vec![None; width];
    }
    let highest = |range: Range<usize>| points[range].iter().flatten().copied().reduce(f64::max);
    columns(count, width).map(highest).collect()
}

/// Which of `count` points each of `width` columns stands for.
pub fn columns(count: usize, width: usize) -> impl Iterator<Item = Range<usize>> {
    let width = if count == 0 { 0 } else { width };
    (0..width).map(move |x| {
        let from = x * count / width;
        from..((x + 1) * count / width).max(from + 1).min(count)
    })
}

/// A round number above the highest value, for the scale.
pub fn ceiling(points: &[Option<f64>], least: f64) -> f64 {
    let highest = points.iter().flatten().fold(least, |top, value| top.max(*value));
    let mut step = 0.1;
    while step * 10.0 <= highest {
        step *= 10.0;
    }
    let rounds = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    rounds.into_iter().map(|round| round * step).find(|round| *round >= highest).unwrap_or(highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_no_zero_and_the_highest_is_full() {
        let points = [Some(0.0), None, Some(50.0), Some(100.0)];
        assert_eq!(sparkline(&points, 100.0, 6, Skin::DARK), "  ▁ ▄█");
        assert_eq!(sparkline(&points, 100.0, 2, Skin::DARK), "▄█");
        assert_eq!(sparkline(&[Some(400.0), Some(200.0)], 100.0, 2, Skin::DARK), "█▄");
    }

    #[test]
    fn many_points_keep_their_peaks_and_few_are_spread() {
        let points = [Some(1.0), Some(9.0), Some(2.0), None];
        assert_eq!(spread(&points, 2), [Some(9.0), Some(2.0)]);
        assert_eq!(spread(&points[..2], 4), [Some(1.0), Some(1.0), Some(9.0), Some(9.0)]);
    }

    #[test]
    fn the_scale_ends_at_a_round_number() {
        let close = |value: f64, wanted: f64| (value - wanted).abs() < 1e-9;
        assert!(close(ceiling(&[Some(334.0)], 100.0), 400.0));
        assert!(close(ceiling(&[], 100.0), 100.0));
        assert!(close(ceiling(&[Some(0.0)], 1.0), 1.0));
    }
}
