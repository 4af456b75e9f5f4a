//! A reader of what the server writes, written from the grammar of RFC 9051 §9 and sharing no code with it.

/// A value of the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Nil,
    Number(u64),
    String(Vec<u8>),
    List(Vec<Value>),
}

impl Value {
    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    pub fn string(&self) -> Option<&[u8]> {
        match self {
            Value::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

/// Reads one value that is all of `bytes`. Lists have single spaces between their items; lists may follow each
/// other without (`1*body`, `1*address`).
pub fn read(bytes: &[u8]) -> Result<Value, String> {
    let mut rest = bytes;
    let value = value(&mut rest)?;
    if rest.is_empty() { Ok(value) } else { Err(format!("{} bytes follow", rest.len())) }
}

fn value(rest: &mut &[u8]) -> Result<Value, String> {
    match rest.first() {
        Some(b'(') => list(rest),
        Some(b'"') => quoted(rest),
        Some(b'{') => literal(rest),
        Some(b'N') => {
            rest.strip_prefix(b"NIL").map(|after| *rest = after).map(|()| Value::Nil).ok_or("no NIL".into())
        }
        Some(b'0'..=b'9') => Ok(Value::Number(number(rest)?)),
        other => Err(format!("unexpected {other:?}")),
    }
}

fn list(rest: &mut &[u8]) -> Result<Value, String> {
    *rest = &rest[1..];
    let mut values = vec![value(rest)?];
    loop {
        match rest.first() {
            Some(b')') => {
                *rest = &rest[1..];
                return Ok(Value::List(values));
            }
            Some(b' ') => *rest = &rest[1..],
            Some(b'(') if matches!(values.last(), Some(Value::List(_))) => {}
            other => return Err(format!("in a list: {other:?}")),
        }
        values.push(value(rest)?);
    }
}

fn quoted(rest: &mut &[u8]) -> Result<Value, String> {
    let mut out = Vec::new();
    *rest = &rest[1..];
    loop {
        let (byte, after) = rest.split_first().ok_or("a quoted string does not end")?;
        *rest = after;
        match byte {
            b'"' => return Ok(Value::String(out)),
            b'\\' => match rest.split_first() {
                Some((escaped @ (b'"' | b'\\'), after)) => {
                    out.push(*escaped);
                    *rest = after;
                }
                other => return Err(format!("escaped {other:?}")),
            },
            0 | b'\r' | b'\n' | 0x80.. => return Err(format!("{byte} in a quoted string")),
            other => out.push(*other),
        }
    }
}

fn literal(rest: &mut &[u8]) -> Result<Value, String> {
    *rest = &rest[1..];
    let length = usize::try_from(number(rest)?).unwrap();
    *rest = rest.strip_prefix(b"}\r\n").ok_or("a literal's head")?;
    let (bytes, after) = rest.split_at_checked(length).ok_or("a literal is cut off")?;
    *rest = after;
    if bytes.contains(&0) { Err("NUL in a literal".into()) } else { Ok(Value::String(bytes.to_vec())) }
}

fn number(rest: &mut &[u8]) -> Result<u64, String> {
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, after) = rest.split_at(count);
    *rest = after;
    std::str::from_utf8(digits).unwrap().parse().map_err(|_| "no number".to_owned())
}
