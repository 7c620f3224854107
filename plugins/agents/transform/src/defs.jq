# What users of jq expect and jaq has elsewhere.
def toarray: if isarray then . else [.] end;
def leaf_paths: paths(scalars);
def INDEX(rows; key): reduce rows as $row ({}; .[$row | key | tostring] = $row);
def INDEX(key): INDEX(.[]; key);
def IN(list): any(list == .; .);
def IN(rows; list): any(rows == list; .);
def csv_field:
  if . == null then "" elif isstring then "\"" + gsub("\""; "\"\"") + "\"" elif isarray or isobject then error("cannot write \(.) as a field of CSV") else tostring end;
def @csv: map(csv_field) | join(",");
def tsv_field:
  if . == null then "" elif isstring then gsub("\\\\"; "\\\\") | gsub("\t"; "\\t") | gsub("\n"; "\\n") | gsub("\r"; "\\r") elif isarray or isobject then error("cannot write \(.) as a field of TSV") else tostring end;
def @tsv: map(tsv_field) | join("\t");
