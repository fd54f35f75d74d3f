# Source this in bash: rosrun uniros, roslaunch uniros and the Python packages for this shell.
_uniros_root="$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")" && pwd)"
if [ ! -e "$_uniros_root/.catkin_ws/devel/setup.bash" ] || [ ! -e "$_uniros_root/.venv/bin/activate" ]; then
  echo "uniros: nothing is built yet: run 'make setup' in $_uniros_root first" >&2
  unset _uniros_root
  return 1 2>/dev/null || exit 1
fi
source "$_uniros_root/.catkin_ws/devel/setup.bash"
# Nodes start with '#!/usr/bin/env python3': the venv's must be the first.
source "$_uniros_root/.venv/bin/activate"
unset _uniros_root
