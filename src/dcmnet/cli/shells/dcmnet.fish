# What the word at the cursor is to be: `any`, `file`, `directory`, `words ...`, or `options`.
# Arguments: the word, the tool, and the words between.
function __dcmnet_expected
    set -l word $argv[1]
    set -l tool $argv[2]
    set -l words $argv[3..-1]
    set -l parameter 1
    while set -q words[1]
        set -l entries
        if string match -qr '^[-+][^0-9]' -- $words[1]
            set entries (__dcmnet_values "$tool $words[1]")
        else
            set parameter (math $parameter + 1)
        end
        set -l taken (count $entries)
        set -l left (math (count $words) - 1)
        if test $left -lt $taken
            echo $entries[(math $left + 1)]
            return
        end
        set -e words[1]
        while test $taken -gt 0
            set -e words[1]
            set taken (math $taken - 1)
        end
    end
    if string match -qr '^[-+]' -- $word
        echo options
        return
    end
    set -l entries (__dcmnet_parameters $tool)
    if test "$entries[-1]" = more
        set -e entries[-1]
        if test $parameter -gt (count $entries)
            set parameter (count $entries)
        end
    end
    if set -q entries[$parameter]
        echo $entries[$parameter]
    else
        echo any
    end
end

function __dcmnet_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l tool (string replace -r '.*/' '' -- $words[1])
    set -e words[1]
    if test "$tool" = dcmnet
        if not set -q words[1]; or test "$words" = help
            __dcmnet_tools ''
            return
        end
        set tool $words[1]
        set -e words[1]
    end
    __dcmnet_options $tool >/dev/null; or return
    set -l expected (__dcmnet_expected "$word" $tool $words)
    switch "$expected"
        case options
            __dcmnet_options $tool
        case file
            __fish_complete_path $word
        case directory
            __fish_complete_directories $word
        case 'words *'
            string split ' ' -- (string replace 'words ' '' -- $expected)
    end
end
