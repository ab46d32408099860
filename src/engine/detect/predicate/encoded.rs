//! Other spellings of a value: what Sigma's encoding modifiers stand for.
//!
//! Each takes the pieces of a text and gives the texts that are looked for instead.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::pattern::Part;

/// The pieces of one value.
pub(super) type Parts = Vec<Part>;

/// `|wide` and its like: two bytes for a character.
pub(super) fn utf16(parts: &Parts, little: bool, mark: bool) -> Result<Parts, String> {
    let mut out = Parts::new();
    for part in parts {
        let Part::Plain(plain) = part else {
            out.push(part.clone());
            continue;
        };
        let text = std::str::from_utf8(plain).map_err(|_| "it is encoded twice".to_owned())?;
        let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
        let bytes =
            units.flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() });
        out.push(Part::Plain(bytes.collect()));
    }
    Ok(out)
}

fn plain(parts: &Parts) -> Result<&[u8], String> {
    match parts.as_slice() {
        [] => Ok(&[]),
        [Part::Plain(plain)] => Ok(plain),
        _ => Err("a text with wildcards has no Base64; write `\\*` for an asterisk".to_owned()),
    }
}

/// `|base64`
pub(super) fn base64(parts: &Parts) -> Result<Parts, String> {
    Ok(vec![Part::Plain(STANDARD.encode(plain(parts)?).into_bytes())])
}

/// `|base64offset`: what the value looks like inside a longer encoded text, behind 0, 1 or 2 other
/// bytes.
pub(super) fn base64_offsets(parts: &Parts) -> Result<Vec<Parts>, String> {
    let value = plain(parts)?;
    let spelled = |before: usize| {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        // Characters that the bytes around it have a part in are left out.
        let from = [0, 2, 3][before];
        let until = [0, 3, 2][bytes.len() % 3];
        let text = STANDARD.encode(&bytes);
        let end = text.len() - until;
        vec![Part::Plain(text.as_bytes()[from.min(end)..end].to_vec())]
    };
    Ok((0..3).map(spelled).collect())
}

/// `|windash`: an option begins with any of the dashes that Windows takes for one.
pub(super) fn windash(parts: &Parts) -> Vec<Parts> {
    let dashes: [&[u8]; 5] = [b"-", b"/", "–".as_bytes(), "—".as_bytes(), "―".as_bytes()];
    let mut out = vec![parts.clone()];
    for dash in dashes {
        let spelled = parts.iter().map(|part| match part {
            Part::Plain(plain) => Part::Plain(with_dash(plain, dash)),
            part => part.clone(),
        });
        let spelled = spelled.collect();
        if !out.contains(&spelled) {
            out.push(spelled);
        }
    }
    out
}

/// Each dash or slash in front of a word and behind none.
fn with_dash(text: &[u8], dash: &[u8]) -> Vec<u8> {
    let is_word =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let mut out = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        let begins = matches!(byte, b'-' | b'/') && is_word(text.get(at + 1)) && !is_word(before);
        if begins {
            out.extend_from_slice(dash);
        } else {
            out.push(*byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::pattern::parts;
    use super::*;

    fn texts(list: &[Parts]) -> Vec<String> {
        let text = |one: &Parts| match one.as_slice() {
            [Part::Plain(plain)] => String::from_utf8_lossy(plain).into_owned(),
            other => format!("{other:?}"),
        };
        list.iter().map(text).collect()
    }

    #[test]
    fn base64_knows_the_value_at_each_offset() {
        assert_eq!(["Zm9v"], *texts(&[base64(&parts("foo")).expect("plain")]));
        assert_eq!(["Zm9v", "Zvb", "mb2"], *texts(&base64_offsets(&parts("foo")).expect("plain")));
        for before in ["", "x", "xy"] {
            for after in ["", "z", "zz"] {
                let whole = STANDARD.encode(format!("{before}/bin/bash{after}"));
                let list = texts(&base64_offsets(&parts("/bin/bash")).expect("plain"));
                assert!(list.iter().any(|one| whole.contains(one)), "{whole} {list:?}");
            }
        }
        assert!(base64(&parts("a*b")).is_err());
        assert_eq!(3, base64_offsets(&parts("")).expect("plain").len());
    }

    #[test]
    fn wide_text_has_two_bytes_for_a_character() {
        let wide = utf16(&parts("aé"), true, false).expect("text");
        assert_eq!(vec![Part::Plain(b"a\0\xe9\0".to_vec())], wide);
        let marked = utf16(&parts("a"), true, true).expect("text");
        assert_eq!(vec![Part::Plain(b"\xff\xfea\0".to_vec())], marked);
    }

    #[test]
    fn windash_spells_options_and_leaves_words_alone() {
        let list = texts(&windash(&parts("run -enc well-known")));
        assert!(list.contains(&"run /enc well-known".to_owned()), "{list:?}");
        assert!(list.contains(&"run ―enc well-known".to_owned()), "{list:?}");
        assert_eq!(5, list.len());
    }
}
