//! Why a GPU cannot be used, in a sentence that says what to do.

/// The lowest compute capability for which kernels are built: Turing.
pub(super) const LEAST_CAPABILITY: (i32, i32) = (7, 5);

/// What stands between palabra and a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The driver says no: a `CUresult`, its name, and the CUDA version that the driver speaks, where it says one.
    Driver { code: u32, name: String, speaks: Option<(i32, i32)> },
    /// There are fewer GPUs.
    NoSuchGpu { count: usize },
    /// The card is too old.
    OldCard { name: String, capability: (i32, i32) },
    /// A library of CUDA cannot be used.
    Library { name: &'static str, status: String },
    /// The bindings to the driver do not fit it.
    Bindings,
}

/// What to do where the driver is too old or of another kind.
const NEW_DRIVER: &str = "install driver 580 or newer (CUDA 13)";

impl Refusal {
    /// The sentence about GPU `index`, without a full stop.
    pub(super) fn sentence(&self, index: usize) -> String {
        match self {
            Self::Driver { code, name, speaks } => of_driver(index, *code, name, *speaks),
            Self::NoSuchGpu { count: 0 } => no_gpu(),
            Self::NoSuchGpu { count: 1 } => format!("there is no GPU {index}: this machine has one, cuda:0"),
            Self::NoSuchGpu { count } => {
                format!("there is no GPU {index}: this machine has {count}, cuda:0 to cuda:{}", count - 1)
            }
            Self::OldCard { name, capability: (major, minor) } => {
                let (least_major, least_minor) = LEAST_CAPABILITY;
                format!(
                    "GPU {index} ({name}) has compute capability {major}.{minor}, and {least_major}.{least_minor} (Turing) \
                     or higher is needed; choose another GPU"
                )
            }
            Self::Library { name, status } => format!(
                "GPU {index} cannot be used because {name} cannot ({status}); install the libraries of CUDA 13, or run \
                 palabra in its container"
            ),
            Self::Bindings => format!("the CUDA driver cannot be used for GPU {index}; {NEW_DRIVER}"),
        }
    }
}

fn no_gpu() -> String {
    format!(
        "no NVIDIA GPU or no driver for it is found; {NEW_DRIVER}, check it with nvidia-smi, and let a container see the \
         GPU (docker run --gpus all)"
    )
}

/// The codes are those of `CUresult` in the CUDA Driver API.
fn of_driver(index: usize, code: u32, name: &str, speaks: Option<(i32, i32)>) -> String {
    match code {
        3 | 34 | 100 | 302 | 303 => no_gpu(),
        36 | 218 | 222 | 803 | 804 => {
            let speaks = speaks.map(|(major, minor)| format!(" for CUDA {major}.{minor}")).unwrap_or_default();
            format!("the CUDA driver{speaks} is too old for this palabra ({name}); {NEW_DRIVER}")
        }
        200 | 209 | 500 => format!(
            "this palabra was built without kernels for GPU {index} ({name}); use a build for its architecture, or \
             another --compute-type"
        ),
        2 => format!("the memory of GPU {index} is full before anything is loaded; end what else uses it"),
        46 | 101 => format!(
            "GPU {index} is not available ({name}); another process may have it for itself, or it has failed: check it \
             with nvidia-smi"
        ),
        802 => format!(
            "GPU {index} is not ready ({name}); wait until the system has started, and check that nvidia-fabricmanager \
             runs where the GPUs are connected by NVSwitch"
        ),
        _ => format!("GPU {index} cannot be opened ({name}); check the driver with nvidia-smi"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(code: u32, speaks: Option<(i32, i32)>) -> String {
        Refusal::Driver { code, name: format!("CUDA_ERROR_{code}"), speaks }.sentence(1)
    }

    #[test]
    fn every_refusal_names_the_remedy() {
        for code in [3, 34, 100, 303] {
            assert!(driver(code, None).contains("install driver 580"), "{code}");
        }
        assert!(driver(222, Some((12, 4))).contains("for CUDA 12.4 is too old"));
        assert!(driver(803, None).starts_with("the CUDA driver is too old"));
        assert!(driver(209, None).contains("another --compute-type"));
        assert!(driver(2, None).contains("memory of GPU 1 is full"));
        assert!(driver(46, None).contains("nvidia-smi"));
        assert!(driver(802, None).contains("fabricmanager"));
        assert!(driver(999, None).contains("GPU 1 cannot be opened (CUDA_ERROR_999)"));
    }

    #[test]
    fn the_number_of_gpus_and_the_card_are_told() {
        assert!(Refusal::NoSuchGpu { count: 0 }.sentence(0).starts_with("no NVIDIA GPU"));
        assert!(Refusal::NoSuchGpu { count: 1 }.sentence(3).contains("has one, cuda:0"));
        assert!(Refusal::NoSuchGpu { count: 4 }.sentence(7).contains("has 4, cuda:0 to cuda:3"));
        let old = Refusal::OldCard { name: "Tesla V100".into(), capability: (7, 0) }.sentence(0);
        assert!(old.contains("(Tesla V100) has compute capability 7.0, and 7.5 (Turing)"), "{old}");
        let library = Refusal::Library { name: "cuBLAS", status: "NOT_INITIALIZED".into() }.sentence(0);
        assert!(library.contains("cuBLAS") && library.contains("container"));
    }
}
