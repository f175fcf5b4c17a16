//! A CTranslate2 Whisper model of one layer and width two, made by hand for tests.

/// One variable: name, shape, code of the element type, bytes.
#[derive(Clone)]
pub(in crate::weights) struct Variable {
    pub(in crate::weights) name: String,
    pub(in crate::weights) shape: Vec<u32>,
    pub(in crate::weights) code: u8,
    pub(in crate::weights) data: Vec<u8>,
}

const WIDTH: u32 = 2;
const INNER: u32 = 4;
/// The smallest vocabulary of Whisper: English only.
pub(in crate::weights) const VOCABULARY: u32 = 51864;

/// Every variable of the model. Tensors are float16 and hold counting numbers, biases of keys zeros.
pub(in crate::weights) fn variables() -> Vec<Variable> {
    let mut variables = Vec::new();
    let mut tensor = |name: String, shape: &[u32]| {
        let count: u32 = shape.iter().product();
        let data = (0..count).flat_map(|index| (index as u16 % 1000).to_le_bytes()).collect();
        variables.push(Variable { name, shape: shape.to_vec(), code: 4, data });
    };
    for (name, channels) in [("conv1", 3), ("conv2", WIDTH)] {
        tensor(format!("encoder/{name}/weight"), &[WIDTH, channels, 3]);
        tensor(format!("encoder/{name}/bias"), &[WIDTH]);
    }
    tensor("decoder/embeddings/weight".into(), &[VOCABULARY, WIDTH]);
    for (side, positions) in [("encoder", 5), ("decoder", 6)] {
        tensor(format!("{side}/position_encodings/encodings"), &[positions, WIDTH]);
        let layer = format!("{side}/layer_0");
        let mut norms = vec![
            format!("{side}/layer_norm"),
            format!("{layer}/self_attention/layer_norm"),
            format!("{layer}/ffn/layer_norm"),
        ];
        let mut linears = vec![
            (format!("{layer}/self_attention/linear_0"), 3 * WIDTH, WIDTH),
            (format!("{layer}/self_attention/linear_1"), WIDTH, WIDTH),
            (format!("{layer}/ffn/linear_0"), INNER, WIDTH),
            (format!("{layer}/ffn/linear_1"), WIDTH, INNER),
        ];
        if side == "decoder" {
            norms.push(format!("{layer}/attention/layer_norm"));
            linears.push((format!("{layer}/attention/linear_0"), WIDTH, WIDTH));
            linears.push((format!("{layer}/attention/linear_1"), 2 * WIDTH, WIDTH));
            linears.push((format!("{layer}/attention/linear_2"), WIDTH, WIDTH));
        }
        for norm in norms {
            tensor(format!("{norm}/gamma"), &[WIDTH]);
            tensor(format!("{norm}/beta"), &[WIDTH]);
        }
        for (linear, rows, columns) in linears {
            tensor(format!("{linear}/weight"), &[rows, columns]);
            tensor(format!("{linear}/bias"), &[rows]);
        }
    }
    for variable in &mut variables {
        let width = WIDTH as usize * 2;
        match variable.name.as_str() {
            name if name.ends_with("self_attention/linear_0/bias") => variable.data[width..2 * width].fill(0),
            name if name.ends_with("/attention/linear_1/bias") => variable.data[..width].fill(0),
            _ => {}
        }
    }
    for side in ["encoder", "decoder"] {
        variables.push(Variable { name: format!("{side}/num_heads"), shape: vec![], code: 2, data: vec![2, 0] });
        variables.push(Variable { name: format!("{side}/pre_norm"), shape: vec![], code: 1, data: vec![1] });
    }
    variables
}

/// The container that holds the variables.
pub(in crate::weights) fn container(variables: &[Variable]) -> Vec<u8> {
    let name = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u16 + 1).to_le_bytes());
        bytes.extend(text.as_bytes());
        bytes.push(0);
    };
    let mut bytes = 6_u32.to_le_bytes().to_vec();
    name(&mut bytes, "WhisperSpec");
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend((variables.len() as u32).to_le_bytes());
    for variable in variables {
        name(&mut bytes, &variable.name);
        bytes.push(variable.shape.len() as u8);
        variable.shape.iter().for_each(|size| bytes.extend(size.to_le_bytes()));
        bytes.push(variable.code);
        bytes.extend((variable.data.len() as u32).to_le_bytes());
        bytes.extend(&variable.data);
    }
    bytes.extend(1_u32.to_le_bytes());
    name(&mut bytes, "decoder/projection/weight");
    name(&mut bytes, "decoder/embeddings/weight");
    bytes
}

/// The `config.json` that lies beside the container.
pub(in crate::weights) const CONFIG: &str =
    r#"{"alignment_heads":[[0,1]],"lang_ids":[50259],"suppress_ids":[1,2,7],"suppress_ids_begin":[220,50256]}"#;
