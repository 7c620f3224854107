//! Integers and their ranges.

use serde_json::Value;

/// Beyond this, either way, readers that keep all numbers as doubles lose digits.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// The integer types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of WIT")]
pub enum Integer {
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
}

impl Integer {
    /// As WIT writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Integer::U8 => "u8",
            Integer::U16 => "u16",
            Integer::U32 => "u32",
            Integer::U64 => "u64",
            Integer::S8 => "s8",
            Integer::S16 => "s16",
            Integer::S32 => "s32",
            Integer::S64 => "s64",
        }
    }

    /// Its least and greatest value.
    #[must_use]
    pub fn range(self) -> (i128, i128) {
        match self {
            Integer::U8 => (0, u8::MAX.into()),
            Integer::U16 => (0, u16::MAX.into()),
            Integer::U32 => (0, u32::MAX.into()),
            Integer::U64 => (0, u64::MAX.into()),
            Integer::S8 => (i8::MIN.into(), i8::MAX.into()),
            Integer::S16 => (i16::MIN.into(), i16::MAX.into()),
            Integer::S32 => (i32::MIN.into(), i32::MAX.into()),
            Integer::S64 => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    /// Whether it holds more than a double can.
    #[must_use]
    pub fn is_wide(self) -> bool {
        matches!(self, Integer::U64 | Integer::S64)
    }
}

/// The integer that a JSON value stands for, if it stands for one: a number without a fraction, or decimal text without
/// spaces or superfluous zeros.
#[must_use]
pub fn as_integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                return Some(number.into());
            }
            if let Some(number) = number.as_u64() {
                return Some(number.into());
            }
            let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
            #[expect(clippy::cast_possible_truncation, reason = "integral and small")]
            (number.abs() <= EXACT_MAX as f64).then_some(number as i128)
        }
        Value::String(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let plain =
                !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit());
            let padded = digits.len() > 1 && digits.starts_with('0') || text == "-0";
            if plain && !padded { text.parse().ok() } else { None }
        }
        _ => None,
    }
}

/// Whether readers that keep all numbers as doubles read it as it is.
#[must_use]
pub fn is_exact(number: i128) -> bool {
    number.unsigned_abs() <= u128::from(EXACT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // R8.5
    #[test]
    fn integers_are_numbers_without_fraction_or_plain_decimal_text() {
        for (value, is) in [
            (json!(0), Some(0)),
            (json!(-7), Some(-7)),
            (json!(u64::MAX), Some(u64::MAX.into())),
            (json!(2.0), Some(2)),
            (json!("18446744073709551615"), Some(u64::MAX.into())),
            (json!("-9223372036854775808"), Some(i64::MIN.into())),
            (json!("0"), Some(0)),
            (json!(2.5), None),
            (json!(1e300), None),
            (json!(""), None),
            (json!("-"), None),
            (json!("-0"), None),
            (json!("007"), None),
            (json!(" 1"), None),
            (json!("+1"), None),
            (json!("1e3"), None),
            (json!("123456789012345678901234567890123456789012345"), None),
            (json!(true), None),
        ] {
            assert_eq!(as_integer(&value), is, "{value}");
        }
        assert!(is_exact(9_007_199_254_740_991) && !is_exact(9_007_199_254_740_992));
        assert!(is_exact(-9_007_199_254_740_991) && !is_exact(-9_007_199_254_740_992));
    }
}
