//! From a CTranslate2 Whisper model to the hub's files: `model.safetensors` with the hub's tensor names, `config.json`,
//! `generation_config.json` and `tokenizer.json`. Values are kept as stored (float16 stays float16).
//!
//! CTranslate2 fuses the rows of the projections that read the same input: `self_attention/linear_0` is query, key and
//! value; the decoder's `attention/linear_1` is key and value. The hub's key projection has no bias; the fused bias holds
//! zeros there, which is checked before they are dropped. The output projection is tied to the token embeddings in both.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use super::{
    ctranslate2::{Container, Element, Variable},
    tensor_file::{self, Entry},
    whisper_settings::{MULTILINGUAL_VOCABULARY, config, generation_config, read_settings, write_json},
};
use crate::{
    error::{Error, Result},
    weights::failure::file_error,
};

/// Width of an attention head in every Whisper checkpoint, for containers that do not name the number of heads.
const HEAD_WIDTH: usize = 64;

/// A tensor of the hub's checkpoint as a range of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    shape: Vec<usize>,
    pub(super) element: Element,
    offset: u64,
    bytes: u64,
}

/// The sizes of a Whisper model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) width: usize,
    pub(super) encoder_layers: usize,
    pub(super) decoder_layers: usize,
    pub(super) encoder_heads: usize,
    pub(super) decoder_heads: usize,
    pub(super) encoder_inner: usize,
    pub(super) decoder_inner: usize,
    pub(super) mel_bins: usize,
    pub(super) source_positions: usize,
    pub(super) target_positions: usize,
    pub(super) vocabulary: usize,
}

/// Converts `source` (`model.bin`, `config.json`, `tokenizer.json`) into `destination`, which exists.
///
/// # Errors
/// [`Error::Weights`] when the model is not a Whisper model in float16, bfloat16 or float32 that CTranslate2 wrote, or
/// lacks `tokenizer.json`; [`Error::Machine`] when a file cannot be read or written.
pub(super) fn convert(source: &Path, destination: &Path) -> Result<()> {
    let path = source.join("model.bin");
    let unfit = |reason: String| {
        Error::Weights(format!(
            "`{}` cannot be used as a CTranslate2 Whisper model: {reason}; convert the original checkpoint again in float16, or use the hub's own files",
            path.display()
        ))
    };
    let mut input = BufReader::new(File::open(&path).map_err(|error| file_error("read", &path, &error))?);
    let container = Container::read(&mut input).map_err(unfit)?;
    let (sizes, pieces) = plan(&container, &mut input).map_err(unfit)?;
    write_tensors(&pieces, &mut input, &path, &destination.join("model.safetensors"))?;

    let settings = read_settings(&source.join("config.json"))?;
    write_json(&destination.join("config.json"), &config(&sizes, &settings, &pieces))?;
    write_json(&destination.join("generation_config.json"), &generation_config(&sizes, &settings))?;
    super::tokenizer::provide(source, destination)
}

/// Says which range of the container each of the hub's tensors is, and checks that none lacks and none is left over.
fn plan(
    container: &Container,
    input: &mut (impl Read + Seek),
) -> std::result::Result<(Sizes, BTreeMap<String, Piece>), String> {
    if container.spec != "WhisperSpec" {
        return Err(format!("it holds a {}, not a WhisperSpec", container.spec));
    }
    let by_name: HashMap<&str, &Variable> =
        container.variables.iter().map(|variable| (variable.name.as_str(), variable)).collect();
    if by_name.len() != container.variables.len() {
        return Err("two variables have the same name".into());
    }
    let mut named: Vec<(&str, &Variable)> = by_name.iter().map(|(name, variable)| (*name, *variable)).collect();
    for (alias, target) in &container.aliases {
        let variable = by_name.get(target.as_str()).ok_or(format!("`{alias}` means `{target}`, which is not there"))?;
        if alias == "decoder/projection/weight" {
            if target != "decoder/embeddings/weight" {
                return Err("its output projection is not tied to the token embeddings".into());
            }
        } else {
            named.push((alias, variable));
        }
    }
    let mut pieces = BTreeMap::new();
    for (name, variable) in named.into_iter().filter(|(_, variable)| !variable.shape.is_empty()) {
        for (hub_name, piece) in place(name, variable, input)? {
            if pieces.insert(hub_name.clone(), piece).is_some() {
                return Err(format!("two tensors become {hub_name}"));
            }
        }
    }
    let sizes = sizes(&pieces, &by_name, input)?;
    check_complete(&sizes, &pieces)?;
    Ok((sizes, pieces))
}

/// The hub's tensors that one variable holds.
fn place(
    name: &str,
    variable: &Variable,
    input: &mut (impl Read + Seek),
) -> std::result::Result<Vec<(String, Piece)>, String> {
    let unknown = || format!("the tensor `{name}` is not known");
    if !matches!(variable.element, Element::F32 | Element::F16 | Element::BF16) {
        return Err(format!("the tensor `{name}` is quantised to integers"));
    }
    let (side, inner) = name.split_once('/').ok_or_else(unknown)?;
    if side != "encoder" && side != "decoder" {
        return Err(unknown());
    }
    if let Some(layer) =
        inner.strip_prefix("layer_").filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    {
        let (number, inner) = layer.split_once('/').ok_or_else(unknown)?;
        let number: u32 = number.parse().map_err(|_| unknown())?;
        let prefix = format!("model.{side}.layers.{number}.");
        return place_in_layer(side, inner, variable, input)?
            .ok_or_else(unknown)
            .map(|pieces| pieces.into_iter().map(|(suffix, piece)| (format!("{prefix}{suffix}"), piece)).collect());
    }
    let suffix = match (side, inner) {
        ("encoder", "conv1/weight") => "conv1.weight",
        ("encoder", "conv1/bias") => "conv1.bias",
        ("encoder", "conv2/weight") => "conv2.weight",
        ("encoder", "conv2/bias") => "conv2.bias",
        ("decoder", "embeddings/weight") => "embed_tokens.weight",
        (_, "position_encodings/encodings") => "embed_positions.weight",
        (_, "layer_norm/gamma") => "layer_norm.weight",
        (_, "layer_norm/beta") => "layer_norm.bias",
        _ => return Err(unknown()),
    };
    Ok(vec![(format!("model.{side}.{suffix}"), whole(variable))])
}

type Suffixed = Vec<(String, Piece)>;

fn place_in_layer(
    side: &str,
    inner: &str,
    variable: &Variable,
    input: &mut (impl Read + Seek),
) -> std::result::Result<Option<Suffixed>, String> {
    let (module, parameter) = inner.rsplit_once('/').unwrap_or((inner, ""));
    let parameter = match parameter {
        "gamma" | "weight" => "weight",
        "beta" | "bias" => "bias",
        _ => return Ok(None),
    };
    let fused: &[&str] = match (side, module) {
        (_, "self_attention/linear_0") => &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        ("decoder", "attention/linear_1") => &["encoder_attn.k_proj", "encoder_attn.v_proj"],
        _ => &[],
    };
    if !fused.is_empty() {
        return split_rows(variable, fused, parameter, input).map(Some);
    }
    let module = match (side, module) {
        (_, "self_attention/layer_norm") => "self_attn_layer_norm",
        (_, "self_attention/linear_1") => "self_attn.out_proj",
        ("decoder", "attention/layer_norm") => "encoder_attn_layer_norm",
        ("decoder", "attention/linear_0") => "encoder_attn.q_proj",
        ("decoder", "attention/linear_2") => "encoder_attn.out_proj",
        (_, "ffn/layer_norm") => "final_layer_norm",
        (_, "ffn/linear_0") => "fc1",
        (_, "ffn/linear_1") => "fc2",
        _ => return Ok(None),
    };
    Ok(Some(vec![(format!("{module}.{parameter}"), whole(variable))]))
}

fn whole(variable: &Variable) -> Piece {
    Piece { shape: variable.shape.clone(), element: variable.element, offset: variable.offset, bytes: variable.bytes }
}

/// Cuts a fused projection into equal groups of rows, one per module; a key projection's bias must be zero and goes.
fn split_rows(
    variable: &Variable,
    modules: &[&str],
    parameter: &str,
    input: &mut (impl Read + Seek),
) -> std::result::Result<Suffixed, String> {
    let rows = variable.shape[0];
    if !rows.is_multiple_of(modules.len()) {
        return Err(format!("`{}` has {rows} rows, which {} projections cannot share", variable.name, modules.len()));
    }
    let mut shape = variable.shape.clone();
    shape[0] = rows / modules.len();
    let bytes = variable.bytes / modules.len() as u64;
    let mut pieces = Vec::new();
    for (index, module) in modules.iter().enumerate() {
        let piece = Piece {
            shape: shape.clone(),
            element: variable.element,
            offset: variable.offset + index as u64 * bytes,
            bytes,
        };
        if module.ends_with("k_proj") && parameter == "bias" {
            if !is_zero(&piece, input)? {
                return Err(format!("`{}` has a key bias, which Whisper has not", variable.name));
            }
        } else {
            pieces.push((format!("{module}.{parameter}"), piece));
        }
    }
    Ok(pieces)
}

fn is_zero(piece: &Piece, input: &mut (impl Read + Seek)) -> std::result::Result<bool, String> {
    input.seek(SeekFrom::Start(piece.offset)).map_err(|error| error.to_string())?;
    for byte in BufReader::new(input.take(piece.bytes)).bytes() {
        if byte.map_err(|error| error.to_string())? != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes the sizes from the tensors' shapes and the numbers of heads from the container's scalars.
fn sizes(
    pieces: &BTreeMap<String, Piece>,
    variables: &HashMap<&str, &Variable>,
    input: &mut (impl Read + Seek),
) -> std::result::Result<Sizes, String> {
    let size = |name: &str, axis: usize| {
        let piece = pieces.get(name).ok_or(format!("the tensor {name} is missing"))?;
        piece.shape.get(axis).copied().ok_or(format!("the tensor {name} has too few dimensions"))
    };
    let layers = |side: &str| {
        let prefix = format!("model.{side}.layers.");
        let suffix = ".fc1.weight";
        pieces.keys().filter(|name| name.starts_with(&prefix) && name.ends_with(suffix)).count()
    };
    let width = size("model.decoder.embed_tokens.weight", 1)?;
    let mut heads = |side: &str| -> std::result::Result<usize, String> {
        match variables.get(format!("{side}/num_heads").as_str()) {
            Some(variable) => scalar(variable, input),
            None => Ok(width / HEAD_WIDTH),
        }
    };
    let sizes = Sizes {
        width,
        encoder_layers: layers("encoder"),
        decoder_layers: layers("decoder"),
        encoder_heads: heads("encoder")?,
        decoder_heads: heads("decoder")?,
        encoder_inner: size("model.encoder.layers.0.fc1.weight", 0)?,
        decoder_inner: size("model.decoder.layers.0.fc1.weight", 0)?,
        mel_bins: size("model.encoder.conv1.weight", 1)?,
        source_positions: size("model.encoder.embed_positions.weight", 0)?,
        target_positions: size("model.decoder.embed_positions.weight", 0)?,
        vocabulary: size("model.decoder.embed_tokens.weight", 0)?,
    };
    for heads in [sizes.encoder_heads, sizes.decoder_heads] {
        if heads == 0 || !sizes.width.is_multiple_of(heads) {
            return Err(format!("{heads} heads cannot share a width of {}", sizes.width));
        }
    }
    if sizes.vocabulary < MULTILINGUAL_VOCABULARY - 1 {
        return Err(format!("its vocabulary has only {} tokens", sizes.vocabulary));
    }
    Ok(sizes)
}

fn scalar(variable: &Variable, input: &mut (impl Read + Seek)) -> std::result::Result<usize, String> {
    let mut bytes = [0; 4];
    let length = variable.bytes.min(4) as usize;
    input.seek(SeekFrom::Start(variable.offset)).map_err(|error| error.to_string())?;
    input.read_exact(&mut bytes[..length]).map_err(|error| error.to_string())?;
    match variable.element {
        Element::I8 | Element::I16 | Element::I32 if variable.shape.is_empty() => {
            Ok(u32::from_le_bytes(bytes) as usize)
        }
        _ => Err(format!("`{}` is not a whole number", variable.name)),
    }
}

/// Every tensor of a Whisper checkpoint of these sizes, with its shape.
fn expected_shapes(sizes: &Sizes) -> BTreeMap<String, Vec<usize>> {
    let width = sizes.width;
    let mut shapes = BTreeMap::from([
        ("model.encoder.conv1.weight".to_owned(), vec![width, sizes.mel_bins, 3]),
        ("model.encoder.conv1.bias".to_owned(), vec![width]),
        ("model.encoder.conv2.weight".to_owned(), vec![width, width, 3]),
        ("model.encoder.conv2.bias".to_owned(), vec![width]),
        ("model.encoder.embed_positions.weight".to_owned(), vec![sizes.source_positions, width]),
        ("model.decoder.embed_positions.weight".to_owned(), vec![sizes.target_positions, width]),
        ("model.decoder.embed_tokens.weight".to_owned(), vec![sizes.vocabulary, width]),
    ]);
    let sides = [
        ("encoder", sizes.encoder_layers, sizes.encoder_inner, &["self_attn"][..]),
        ("decoder", sizes.decoder_layers, sizes.decoder_inner, &["self_attn", "encoder_attn"][..]),
    ];
    for (side, layers, inner, attentions) in sides {
        let mut add = |name: String, shape: Vec<usize>| shapes.insert(format!("model.{side}.{name}"), shape);
        for parameter in ["weight", "bias"] {
            add(format!("layer_norm.{parameter}"), vec![width]);
        }
        for layer in 0..layers {
            let prefix = format!("layers.{layer}");
            for attention in attentions {
                for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
                    add(format!("{prefix}.{attention}.{projection}.weight"), vec![width, width]);
                    if projection != "k_proj" {
                        add(format!("{prefix}.{attention}.{projection}.bias"), vec![width]);
                    }
                }
                add(format!("{prefix}.{attention}_layer_norm.weight"), vec![width]);
                add(format!("{prefix}.{attention}_layer_norm.bias"), vec![width]);
            }
            add(format!("{prefix}.final_layer_norm.weight"), vec![width]);
            add(format!("{prefix}.final_layer_norm.bias"), vec![width]);
            add(format!("{prefix}.fc1.weight"), vec![inner, width]);
            add(format!("{prefix}.fc1.bias"), vec![inner]);
            add(format!("{prefix}.fc2.weight"), vec![width, inner]);
            add(format!("{prefix}.fc2.bias"), vec![width]);
        }
    }
    shapes
}

fn check_complete(sizes: &Sizes, pieces: &BTreeMap<String, Piece>) -> std::result::Result<(), String> {
    let expected = expected_shapes(sizes);
    for (name, shape) in &expected {
        let piece = pieces.get(name).ok_or(format!("the tensor {name} is missing"))?;
        if piece.shape != *shape {
            return Err(format!("the tensor {name} has shape {:?}, not {shape:?}", piece.shape));
        }
    }
    match pieces.keys().find(|name| !expected.contains_key(*name)) {
        Some(surplus) => Err(format!("the tensor {surplus} is not part of a Whisper model of this size")),
        None => Ok(()),
    }
}

fn write_tensors(
    pieces: &BTreeMap<String, Piece>,
    input: &mut (impl Read + Seek),
    source: &Path,
    destination: &Path,
) -> Result<()> {
    let dtype = |element| match element {
        Element::F16 => "F16",
        Element::BF16 => "BF16",
        Element::F32 => "F32",
        Element::I8 | Element::I16 | Element::I32 => unreachable!("place() refuses tensors of integers"),
    };
    let entry = |(name, piece): (&String, &Piece)| Entry {
        name: name.clone(),
        dtype: dtype(piece.element).into(),
        shape: piece.shape.clone(),
        bytes: piece.bytes,
    };
    let entries: Vec<Entry> = pieces.iter().map(entry).collect();
    let pieces: Vec<&Piece> = pieces.values().collect();
    tensor_file::write(destination, &entries, |index, output| {
        let piece = pieces[index];
        input.seek(SeekFrom::Start(piece.offset)).map_err(|error| file_error("read", source, &error))?;
        tensor_file::copy(&mut input.take(piece.bytes), output, source, destination)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;
    use serde_json::{Value, json};

    use super::{
        super::{handmade, whisper_settings::special_tokens},
        *,
    };

    fn plan_of(variables: &[handmade::Variable]) -> std::result::Result<(Sizes, BTreeMap<String, Piece>), String> {
        let mut input = Cursor::new(handmade::container(variables));
        let container = Container::read(&mut input)?;
        plan(&container, &mut input)
    }

    fn changed(name: &str, change: impl FnOnce(&mut handmade::Variable)) -> std::result::Result<(), String> {
        let mut variables = handmade::variables();
        change(variables.iter_mut().find(|variable| variable.name == name).expect("a known name"));
        plan_of(&variables).map(drop)
    }

    #[test]
    fn names_sizes_and_rows_are_the_hubs() {
        let (sizes, pieces) = plan_of(&handmade::variables()).expect("a plan");
        assert_eq!((sizes.width, sizes.encoder_layers, sizes.decoder_layers), (2, 1, 1));
        assert_eq!((sizes.encoder_heads, sizes.mel_bins, sizes.vocabulary), (2, 3, 51864));
        assert_eq!((sizes.source_positions, sizes.target_positions, sizes.encoder_inner), (5, 6, 4));
        // Seven of the encoder and four of the decoder outside of layers, 15 and 24 in them.
        assert_eq!(pieces.len(), 50);
        assert!(!pieces.contains_key("model.decoder.layers.0.self_attn.k_proj.bias"));
        let row = |name: &str| pieces[&format!("model.decoder.layers.0.encoder_attn.{name}.weight")].offset;
        assert_eq!(row("v_proj") - row("k_proj"), 8);
    }

    #[test]
    fn a_converted_model_has_the_hubs_files() {
        let source = tempfile::tempdir().expect("a folder");
        let destination = tempfile::tempdir().expect("a folder");
        let write = |name: &str, bytes: &[u8]| std::fs::write(source.path().join(name), bytes).expect("written");
        write("model.bin", &handmade::container(&handmade::variables()));
        write("config.json", handmade::CONFIG.as_bytes());
        assert!(matches!(convert(source.path(), destination.path()), Err(Error::Weights(_))), "no tokenizer");
        write("tokenizer.json", b"{}");
        convert(source.path(), destination.path()).expect("converted");

        let bytes = std::fs::read(destination.path().join("model.safetensors")).expect("read");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
        assert_eq!(file.len(), 50);
        let value = file.tensor("model.encoder.layers.0.self_attn.v_proj.weight").expect("a tensor");
        assert_eq!(value.shape(), [2, 2]);
        // Rows 4 and 5 of the fused projection, which counts from zero.
        assert_eq!(value.data(), [8, 0, 9, 0, 10, 0, 11, 0]);
        let config: Value = read_settings(&destination.path().join("config.json")).expect("JSON");
        assert_eq!((&config["eos_token_id"], &config["decoder_start_token_id"]), (&json!(50256), &json!(50257)));
        assert_eq!(config["suppress_tokens"], json!([1, 2, 7]));
        let generation: Value = read_settings(&destination.path().join("generation_config.json")).expect("JSON");
        assert_eq!(
            (&generation["is_multilingual"], &generation["no_timestamps_token_id"]),
            (&json!(false), &json!(50362))
        );
        assert_eq!(generation["alignment_heads"], json!([[0, 1]]));
    }

    #[test]
    fn special_tokens_follow_the_vocabulary() {
        let (sizes, _) = plan_of(&handmade::variables()).expect("a plan");
        for (vocabulary, end, no_timestamps) in [(51864, 50256, 50362), (51865, 50257, 50363), (51866, 50257, 50364)] {
            let tokens = special_tokens(&Sizes { vocabulary, ..sizes.clone() });
            assert_eq!((tokens.end, tokens.start, tokens.no_timestamps), (end, end + 1, no_timestamps));
        }
    }

    #[test]
    fn what_is_not_whisper_is_refused() {
        let renamed = changed("encoder/conv1/bias", |variable| variable.name = "encoder/conv3/bias".into());
        assert!(renamed.expect_err("refused").contains("not known"));
        let key_bias = changed("encoder/layer_0/self_attention/linear_0/bias", |variable| variable.data[4] = 1);
        assert!(key_bias.expect_err("refused").contains("key bias"));
        let quantised = changed("decoder/layer_0/ffn/linear_0/weight", |variable| {
            variable.code = 1;
            variable.data.truncate(8);
        });
        assert!(quantised.expect_err("refused").contains("quantised"));
        let heads = changed("encoder/num_heads", |variable| variable.data = vec![3, 0]);
        assert!(heads.expect_err("refused").contains("heads"));
        let transposed = changed("decoder/layer_0/ffn/linear_0/weight", |variable| variable.shape = vec![2, 4]);
        assert!(transposed.expect_err("refused").contains("fc1"));
        let mut variables = handmade::variables();
        variables.retain(|variable| variable.name != "decoder/layer_norm/beta");
        assert!(plan_of(&variables).expect_err("refused").contains("missing"));
        let mut doubled = handmade::variables();
        doubled.push(doubled[0].clone());
        assert!(plan_of(&doubled).expect_err("refused").contains("same name"));
    }

    #[test]
    fn mutated_structure_never_panics() {
        let variables = handmade::variables();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(2);
        let names: Vec<String> = variables.iter().map(|variable| variable.name.clone()).collect();
        for _ in 0..2_000 {
            let mut mutated = variables.clone();
            mutated.retain(|variable| variable.name != "decoder/embeddings/weight" || random.gen_bool(0.05));
            let chosen = random.gen_range(0..mutated.len());
            let variable = &mut mutated[chosen];
            match random.gen_range(0..4) {
                0 => variable.name = names[random.gen_range(0..names.len())].clone(),
                1 => variable.shape = (0..random.gen_range(0..5)).map(|_| random.gen_range(0..9)).collect(),
                2 => variable.code = random.gen_range(0..7),
                _ => variable.name.truncate(random.gen_range(0..variable.name.len())),
            }
            let size = [4, 1, 2, 4, 2, 2, 1][usize::from(variable.code)];
            variable.data.resize(variable.shape.iter().product::<u32>() as usize * size, 0);
            drop(plan_of(&mutated));
        }
    }
}
