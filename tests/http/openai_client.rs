//! OpenAI's own client against the program: runs `tests/clients/openai_contract.py` where a Python has the package.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use libtest_mimic::Trial;

use super::{service::Needs, support::trial};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    let need = needs.sample.clone().and_then(|sample| Ok((python()?, sample)));
    vec![trial("openai_client::the_contract_suite_passes", &need, |(python, sample)| {
        the_contract_suite_passes(&python, &sample);
    })]
}

/// A Python that can import the package: the one that PALABRA_TEST_PYTHON names, else python3.
fn python() -> Result<PathBuf, String> {
    let python = std::env::var_os("PALABRA_TEST_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let found =
        Command::new(&python).args(["-c", "import openai"]).output().is_ok_and(|output| output.status.success());
    let reason = "needs a Python with tests/clients/requirements.txt installed, which PALABRA_TEST_PYTHON names";
    if found { Ok(python) } else { Err(reason.into()) }
}

fn the_contract_suite_passes(python: &Path, sample: &Path) {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/openai_contract.py");
    let output = Command::new(python)
        .arg("-B")
        .arg(suite)
        .args(["--binary", env!("CARGO_BIN_EXE_palabra"), "--audio"])
        .arg(sample)
        .env_remove("PALABRA_API_KEYS")
        .output()
        .unwrap();
    let lines = String::from_utf8_lossy(&output.stdout);
    println!("{lines}");
    assert!(output.status.success(), "{lines}{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines.ends_with("all passed\n"), "{lines}");
}
