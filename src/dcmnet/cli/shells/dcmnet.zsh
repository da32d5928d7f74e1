# What the last word is to be: `expected`, and in `parameter` which parameter it would be, from 1.
# Arguments: the tool, and the words behind it.
_dcmnet_walk() {
  local tool=$1
  local -a answer
  shift
  parameter=1
  expected=
  while (($#)); do
    if (($# > 1)) && [[ $1 == [-+][^0-9]* ]] && _dcmnet_values "$tool $1"; then
      if (($# - 1 <= ${#answer})); then
        expected=${answer[$(($# - 1))]}
        return
      fi
      shift ${#answer}
    elif (($# > 1)) && [[ $1 != [-+][^0-9]* ]]; then
      ((parameter++))
    fi
    shift
  done
}

_dcmnet() {
  local tool expected
  local -i parameter
  local -a answer rest
  tool=${words[1]:t}
  rest=("${(@)words[2,CURRENT]}")
  if [[ $tool == dcmnet ]]; then
    if ((CURRENT == 2)) || { ((CURRENT == 3)) && [[ $words[2] == help ]] }; then
      _dcmnet_tools ''
      _describe -t tools tool answer
      return
    fi
    tool=$words[2]
    rest=("${(@)words[3,CURRENT]}")
  fi
  _dcmnet_options "$tool" || return 1
  _dcmnet_walk "$tool" "${rest[@]}"
  if [[ -z $expected ]]; then
    if [[ $words[CURRENT] == [-+]* ]]; then
      _describe -t options option answer
      return
    fi
    _dcmnet_parameters "$tool"
    if [[ $answer[-1] == more ]]; then
      ((parameter > ${#answer} - 1)) && parameter=$((${#answer} - 1))
    fi
    expected=${answer[parameter]:-any}
  fi
  case $expected in
    file) _files ;;
    directory) _files -/ ;;
    words*)
      answer=(${=expected#words })
      compadd -a answer
      ;;
    *) return 1 ;;
  esac
}
