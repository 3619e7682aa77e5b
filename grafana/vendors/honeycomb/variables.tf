# Variables, and the values derived from them and the JSON files. Evaluating this file needs no provider.

variable "dataset" {
  description = "Dataset of your spans: the service name, or __all__ for the whole environment."
  type        = string
}

variable "thresholds" {
  description = "Overrides for the limits in triggers.json by key, such as { day = 100, run = 5 }."
  type        = map(number)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.thresholds), keys(jsondecode(file("${path.module}/triggers.json"))))) == 0
    error_message = "triggers.json has no trigger with this key."
  }
}

variable "recipients" {
  description = "Recipients of alerts, such as [{ type = \"email\", target = \"you@example.com\" }]."
  type        = list(object({ type = string, target = string }))
  default     = []
}

locals {
  queries = jsondecode(file("${path.module}/queries.json"))
  columns = { for column in jsondecode(file("${path.module}/columns.json")) : column.alias => column }
  board   = jsondecode(file("${path.module}/board.json"))
  triggers = {
    for key, trigger in jsondecode(file("${path.module}/triggers.json")) : key => merge(trigger, {
      threshold = { op = trigger.threshold.op, value = lookup(var.thresholds, key, trigger.threshold.value) }
    })
  }
}
