#!/bin/sh
# All that is to be known of a GPU, in one call of some minutes: what is installed, what is right,
# what is fast, where the time goes.
#
#   sh benchmarks/gpu.sh [--device cuda|cpu] [FOLDER]
#
# Into FOLDER (build/gpu unless named) come logs, the tables, and a sheet of pictures: below 16 MB.
# NEURON_WIDGET_TEST_DATA names weights and photos. With --device cpu it is only tried out.
set -u
device=cuda
if [ "${1:-}" = "--device" ]; then device=$2; shift 2; fi
out=${1:-build/gpu}
python=${PYTHON:-python3}
mkdir -p "$out"
here=$(dirname "$0")
export NEURON_WIDGET_STORE=off PYTHONUNBUFFERED=1

echo "== install check"
"$python" -m neuron_widget.cli info > "$out/info.log" 2>&1 || "$python" -c "import neuron_widget"
cat "$out/info.log"

echo "== correctness"
[ "$device" = cpu ] || export NEURON_WIDGET_TEST_DEVICE=$device
# Other versions than the project's may warn of what is theirs.
timeout 200 "$python" -m pytest "$here/../tests/unit/test_gpu.py" "$here/../tests/unit/test_gpu_sessions.py" -q -W default -p no:cacheprovider \
  > "$out/tests.log" 2>&1
tail -n 30 "$out/tests.log"

echo "== tables and profile"
timeout 240 "$python" "$here/gpu.py" --device "$device" --out "$out" 2>&1 | tee "$out/tables.log"
