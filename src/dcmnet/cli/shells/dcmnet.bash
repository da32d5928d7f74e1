# What the command line up to the cursor has: `words`. Where readline breaks words at = and : they touch.
_dcmnet_split() {
  local rest=${COMP_LINE:0:COMP_POINT} blank word n
  words=()
  for ((n = 0; n <= COMP_CWORD; n++)); do
    blank=${rest%%[![:space:]]*}
    rest=${rest#"$blank"}
    word=${COMP_WORDS[n]}
    ((n == COMP_CWORD)) && word=$rest
    rest=${rest#"$word"}
    if ((n)) && [[ -z $blank ]]; then
      words[${#words[@]} - 1]+=$word
    else
      words+=("$word")
    fi
  done
}

# What the last word is to be: `expected`, and in `parameter` which parameter it would be, from 0.
# Arguments: the tool, and the words behind it.
_dcmnet_walk() {
  local tool=$1 answer
  shift
  parameter=0
  expected=
  while (($#)); do
    if (($# > 1)) && [[ $1 == [-+][!0-9]* ]] && _dcmnet_values "$tool $1"; then
      if (($# - 1 <= ${#answer[@]})); then
        expected=${answer[$# - 2]}
        return
      fi
      shift "${#answer[@]}"
    elif (($# > 1)) && [[ $1 != [-+][!0-9]* ]]; then
      ((parameter++))
    fi
    shift
  done
}

_dcmnet_offer() {
  local broken
  while IFS= read -r broken; do
    COMPREPLY+=("$broken")
  done < <(compgen -W "$1" -- "$current")
  # Readline replaces what follows the last = or : only.
  broken=${current%"${current##*[=:]}"}
  if [[ -n $broken && $COMP_WORDBREAKS == *[=:]* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"$broken"}")
  fi
}

_dcmnet() {
  local words answer current tool expected parameter IFS=$' \t\n'
  local rest
  COMPREPLY=()
  _dcmnet_split
  current=${words[${#words[@]} - 1]}
  tool=${words[0]##*/}
  rest=("${words[@]:1}")
  if [[ $tool == dcmnet ]]; then
    if ((${#words[@]} == 2)) || { ((${#words[@]} == 3)) && [[ ${words[1]} == help ]]; }; then
      compopt +o default 2>/dev/null
      _dcmnet_tools ''
      _dcmnet_offer "${answer[*]}"
      return
    fi
    tool=${words[1]}
    rest=("${words[@]:2}")
  fi
  _dcmnet_options "$tool" || return
  _dcmnet_walk "$tool" "${rest[@]}"
  if [[ -z $expected ]]; then
    if [[ $current == [-+]* ]]; then
      compopt +o default 2>/dev/null
      _dcmnet_offer "${answer[*]}"
      return
    fi
    _dcmnet_parameters "$tool"
    if ((${#answer[@]})) && [[ ${answer[${#answer[@]} - 1]} == more ]]; then
      ((parameter > ${#answer[@]} - 2)) && parameter=$((${#answer[@]} - 2))
    fi
    expected=${answer[parameter]:-any}
  fi
  # Files are left to readline, which knows how to quote them.
  [[ $expected == file ]] && return
  compopt +o default 2>/dev/null
  case $expected in
    directory) compopt -o dirnames 2>/dev/null ;;
    words*) _dcmnet_offer "${expected#words }" ;;
  esac
}
