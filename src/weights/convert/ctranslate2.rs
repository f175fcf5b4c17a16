//! Reads the container of a CTranslate2 model: `model.bin`, versions 4 to 6, little-endian.
//!
//! u32 version, spec name, u32 revision, u32 count of variables; per variable: name, u8 rank, u32 per dimension, u8 element
//! type, u32 length in bytes, the bytes; then u32 count of aliases and pairs of names. A name is a u16 length, which counts
//! the closing NUL, and the bytes. Only positions are kept: the tensors stay in the file. Every length is checked
//! against what is left of the file before anything is reserved for it.

use std::io::{Read, Seek, SeekFrom};

/// The lowest and highest container version with this layout.
const VERSIONS: std::ops::RangeInclusive<u32> = 4..=6;
/// Tensors have at most four dimensions here; a larger rank means that this is not the format.
const MAX_RANK: u8 = 8;

/// The element type of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F32,
    I8,
    I16,
    I32,
    F16,
    BF16,
}

impl Element {
    fn from_code(code: u8) -> Result<Self, String> {
        Ok(match code {
            0 => Self::F32,
            1 => Self::I8,
            2 => Self::I16,
            3 => Self::I32,
            4 => Self::F16,
            5 => Self::BF16,
            _ => return Err(format!("unknown element type {code}")),
        })
    }

    /// Length in bytes.
    pub(super) fn size(self) -> u64 {
        match self {
            Self::I8 => 1,
            Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::F32 | Self::I32 => 4,
        }
    }
}

/// A variable and where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) element: Element,
    /// Position of the first byte in the file.
    pub(super) offset: u64,
    /// Length in bytes: the product of the shape times the element's size.
    pub(super) bytes: u64,
}

/// A container's table of contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) spec: String,
    pub(super) variables: Vec<Variable>,
    /// Pairs of another name and the variable it means.
    pub(super) aliases: Vec<(String, String)>,
}

impl Container {
    /// Reads the table of contents.
    ///
    /// # Errors
    /// A phrase that says what is wrong: truncated, an unknown version or type, lengths that contradict each other, or
    /// bytes after the end.
    pub(super) fn read<R: Read + Seek>(input: &mut R) -> Result<Self, String> {
        let length = input.seek(SeekFrom::End(0)).map_err(|error| error.to_string())?;
        input.rewind().map_err(|error| error.to_string())?;
        let mut reader = Reader { input, position: 0, length };
        let version = reader.u32()?;
        if !VERSIONS.contains(&version) {
            return Err(format!(
                "container version {version} is not one of {} to {}",
                VERSIONS.start(),
                VERSIONS.end()
            ));
        }
        let spec = reader.name()?;
        reader.u32()?;
        let count = reader.u32()?;
        let mut variables = Vec::new();
        for _ in 0..count {
            variables.push(reader.variable()?);
        }
        let count = reader.u32()?;
        let mut aliases = Vec::new();
        for _ in 0..count {
            aliases.push((reader.name()?, reader.name()?));
        }
        match length - reader.position {
            0 => Ok(Self { spec, variables, aliases }),
            surplus => Err(format!("{surplus} bytes follow its end")),
        }
    }
}

struct Reader<'a, R> {
    input: &'a mut R,
    position: u64,
    length: u64,
}

impl<R: Read + Seek> Reader<'_, R> {
    fn claim(&mut self, bytes: u64) -> Result<(), String> {
        if bytes > self.length - self.position {
            return Err("it is truncated".into());
        }
        self.position += bytes;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.claim(N as u64)?;
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn name(&mut self) -> Result<String, String> {
        let length = u16::from_le_bytes(self.array()?);
        self.claim(length.into())?;
        let mut bytes = vec![0; length.into()];
        self.input.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.pop() != Some(0) {
            return Err("a name does not end in NUL".into());
        }
        String::from_utf8(bytes).map_err(|_| "a name is not text".into())
    }

    fn variable(&mut self) -> Result<Variable, String> {
        let name = self.name()?;
        let rank = self.u8()?;
        if rank > MAX_RANK {
            return Err(format!("`{name}` has {rank} dimensions"));
        }
        let shape = (0..rank).map(|_| self.u32().map(|size| size as usize)).collect::<Result<Vec<_>, _>>()?;
        let element = Element::from_code(self.u8()?)?;
        let bytes = u64::from(self.u32()?);
        let elements = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size as u64));
        if elements.and_then(|count| count.checked_mul(element.size())) != Some(bytes) {
            return Err(format!("the length of `{name}` contradicts its shape"));
        }
        let offset = self.position;
        self.claim(bytes)?;
        self.input.seek(SeekFrom::Start(self.position)).map_err(|error| error.to_string())?;
        Ok(Variable { name, shape, element, offset, bytes })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::{super::handmade, *};

    fn read(bytes: &[u8]) -> Result<Container, String> {
        Container::read(&mut Cursor::new(bytes))
    }

    /// The hand-made container without the large table, so that thousands of variants are quick.
    fn small() -> Vec<u8> {
        let mut variables = handmade::variables();
        variables.retain(|variable| variable.name != "decoder/embeddings/weight");
        handmade::container(&variables)
    }

    #[test]
    fn the_table_of_contents_is_read() {
        let bytes = small();
        let container = read(&bytes).expect("reads");
        assert_eq!(container.spec, "WhisperSpec");
        assert_eq!(container.aliases, [("decoder/projection/weight".into(), "decoder/embeddings/weight".into())]);
        let conv = container.variables.iter().find(|variable| variable.name == "encoder/conv1/weight").expect("conv1");
        assert_eq!((conv.shape.as_slice(), conv.element, conv.bytes), (&[2, 3, 3][..], Element::F16, 36));
        let start = conv.offset as usize;
        assert_eq!(bytes[start..start + 6], [0, 0, 1, 0, 2, 0]);
    }

    #[test]
    fn every_truncation_and_surplus_is_refused() {
        let bytes = small();
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(read(&longer).expect_err("refused").contains("follow its end"));
    }

    #[test]
    fn lying_lengths_reserve_nothing() {
        let bytes = small();
        let count = 4 + 2 + "WhisperSpec".len() + 1 + 4;
        let mut many = bytes.clone();
        many[count..count + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&many).is_err());
        let mut future = bytes;
        future[0] = 7;
        assert!(read(&future).expect_err("refused").contains("version 7"));
    }

    #[test]
    fn mutations_never_panic() {
        let bytes = small();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut mutated = bytes.clone();
            for _ in 0..random.gen_range(1..4) {
                let position = random.gen_range(0..mutated.len());
                mutated[position] = random.r#gen();
            }
            match read(&mutated) {
                Ok(container) => {
                    let inside = |variable: &Variable| variable.offset + variable.bytes <= mutated.len() as u64;
                    assert!(container.variables.iter().all(inside));
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 1000, "only {refused} mutations touched the structure");
    }
}
