# What is set, and what is made of it and of the JSON files. No provider is needed to evaluate this file.

variable "dataset" {
  description = "The dataset of your spans: the name of the service, or __all__ for all of the environment."
  type        = string
}

variable "thresholds" {
  description = "Other limits than those of triggers.json, by its keys: { day = 100, run = 5 }."
  type        = map(number)
  default     = {}

  validation {
    condition     = length(setsubtract(keys(var.thresholds), keys(jsondecode(file("${path.module}/triggers.json"))))) == 0
    error_message = "There is no such trigger in triggers.json."
  }
}

variable "recipients" {
  description = "Who is told: [{ type = \"email\", target = \"you@example.com\" }]."
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
