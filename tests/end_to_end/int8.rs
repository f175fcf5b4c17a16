//! int8 on the CPU: its text, and the form of a model that is kept for the next start.

use std::{fs, path::Path};

use libtest_mimic::Trial;

use crate::{
    command::{Needs, Outcome, outcome, palabra},
    support::trial,
};

pub fn trials(needs: &Needs) -> Vec<Trial> {
    vec![
        #[cfg(unix)]
        trial("the_int8_form_of_a_model_is_kept_and_mended", &needs.tiny, |folder| kept(&folder)),
        trial("the_limit_of_instructions_is_kept_or_refused", &needs.tiny, |_| limits()),
    ]
}

#[cfg(unix)]
fn kept(folder: &Path) {
    let cache = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(folder.parent().unwrap(), cache.path().join("models")).unwrap();
    let run = || {
        let line = "transcribe --sample --offline --language en --align off --model tiny.en --compute-type int8";
        outcome(palabra().args(line.split(' ')).env("PALABRA_CACHE", cache.path())).succeeded()
    };
    let files =
        || -> Vec<_> { fs::read_dir(cache.path().join("int8")).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let first = run().text();
    assert!(first.split(' ').count() > 20, "{first}");
    let kept = files();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let (bytes, original) = (fs::metadata(&kept[0]).unwrap().len(), folder.join("model.safetensors"));
    assert!(bytes < fs::metadata(original).unwrap().len() * 6 / 10, "{bytes}");
    assert_eq!(run().text(), first, "from the kept form");

    let whole = fs::read(&kept[0]).unwrap();
    fs::write(&kept[0], &whole[..whole.len() / 2]).unwrap();
    let mended = run();
    assert!(mended.stderr.contains("int8 form could not be used"), "{mended:?}");
    assert_eq!(mended.text(), first, "from the model itself");
    assert_eq!(files().len(), 0, "a form that cannot be used goes");
    assert_eq!(run().text(), first);
    assert_eq!(fs::read(&kept[0]).unwrap(), whole, "it is made again as it was");
}

fn limits() {
    let run = |limit: &str| -> Outcome {
        let line = "transcribe --sample --language en --align off --model tiny.en --compute-type int8 --quiet";
        outcome(palabra().args(line.split(' ')).env("PALABRA_MAX_CPU_ISA", limit))
    };
    for limit in ["avx512", "avx2"] {
        assert!(run(limit).succeeded().text().split(' ').count() > 20, "{limit}");
    }
    run("sse").refused(2, &["PALABRA_MAX_CPU_ISA is 'sse'", "avx512, avx2 or baseline"]);
}
