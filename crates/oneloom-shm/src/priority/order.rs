//! In what order items leave: by their priority, the smallest first, and those of one priority as they came.

use std::fmt;

/// How urgent an item is: an integer or a float, both in one exact order. 2⁵³ + 1 comes after 2⁵³ as a float, and 1 and
/// 1.0 are the same.
///
/// It is the float nearest to the number, as an integer of the same order, and by how much the number is more than that.
/// Rounding never turns an order round, so that the difference decides only among those with the same nearest float.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Priority {
    nearest: u64,
    /// The difference, plus [`MIDDLE`].
    rest: u16,
}

/// No 64-bit integer is as far from its nearest float.
const MIDDLE: i128 = 1 << 15;

/// Not a number, which has no place in an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotANumber;

impl fmt::Display for NotANumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a priority must not be NaN, which comes neither before nor after any other")
    }
}

impl std::error::Error for NotANumber {}

/// An integer that is less or more than another as the floats are.
fn sortable(float: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    // A zero has no sign from here on.
    let bits = (float + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

impl From<i64> for Priority {
    fn from(number: i64) -> Self {
        let nearest = number as f64;
        let difference = i128::from(number) - nearest as i128;
        Self { nearest: sortable(nearest), rest: (MIDDLE + difference) as u16 }
    }
}

impl TryFrom<f64> for Priority {
    type Error = NotANumber;

    fn try_from(float: f64) -> Result<Self, NotANumber> {
        if float.is_nan() {
            return Err(NotANumber);
        }
        Ok(Self { nearest: sortable(float), rest: MIDDLE as u16 })
    }
}

/// An item's place among all that were ever put: its priority, and below that its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Order(pub u64, pub u64);

/// A queue's items get one number each; a million of them a second would be used up in nine years.
const NUMBERS: u32 = 48;

impl Order {
    /// The order of the item that is the queue's `number`th.
    pub fn new(priority: Priority, number: u64) -> Self {
        Self(priority.nearest, (u64::from(priority.rest) << NUMBERS).wrapping_add(number))
    }

    /// The item's number.
    pub fn number(self) -> u64 {
        self.1 & ((1 << NUMBERS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(float: f64) -> Priority {
        Priority::try_from(float).expect("a number")
    }

    #[test]
    fn integers_and_floats_are_in_one_exact_order() {
        const EXACT: i64 = 1 << 53;
        let ascending = [
            float(f64::NEG_INFINITY),
            float(-1e300),
            float(-9_223_372_036_854_777_856.0),
            Priority::from(i64::MIN),
            Priority::from(i64::MIN + 1),
            Priority::from(-EXACT - 1),
            Priority::from(-EXACT),
            float(-1.5),
            Priority::from(-1),
            float(-f64::MIN_POSITIVE),
            Priority::from(0),
            float(f64::MIN_POSITIVE),
            float(0.5),
            Priority::from(1),
            Priority::from(EXACT - 1),
            float(EXACT as f64),
            Priority::from(EXACT + 1),
            float(EXACT as f64 + 2.0),
            Priority::from(EXACT + 3),
            Priority::from(i64::MAX - 1),
            Priority::from(i64::MAX),
            float(i64::MAX as f64),
            float(1e300),
            float(f64::INFINITY),
        ];
        assert!(ascending.is_sorted_by(|before, after| before < after), "{ascending:?}");
        for equal in [0, 1, -1, EXACT, EXACT + 2, i64::MIN] {
            assert_eq!(Priority::from(equal), float(equal as f64));
        }
        assert_eq!(float(0.0), float(-0.0));
        assert_eq!(Priority::try_from(f64::NAN), Err(NotANumber));
    }

    #[test]
    fn equal_priorities_are_in_the_order_of_their_numbers() {
        let order = |priority: i64, number| Order::new(Priority::from(priority), number);
        assert!(order(1, 2) < order(1, 3) && order(1, 3) < order(2, 1));
        assert!(order(i64::MAX, 9) > order(i64::MAX - 1, 10));
        assert_eq!(order(-7, 123).number(), 123);
    }
}
